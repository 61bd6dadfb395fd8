"""The executor `ray` on a cluster of several nodes of this machine, which are killed at will."""

import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.jobs.ray_cluster import LOOPBACK_ONLY
from pipelines.jobs.ray_executor import RayExecutor
from pipelines.jobs.store import JobStore, new_session
from pipelines.jobs.supervisor import SupervisorConfig
from pipelines.request import GenerationRequest
from tests.pipelines.clockwork import WALK, walked

# Ray keeps the way of authentication that a process used first: files must keep their order.
pytestmark = pytest.mark.alone
COMMAND = (sys.executable, "-m", "tests.pipelines.clockwork_ray")
PATIENCE = 240.0
WHOLE_WALK = list(WALK)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def add_node(cluster: Any, num_cpus: int, **settings: object) -> Any:
    # Named ports, for Ray waits only fifteen seconds for its agents to say theirs.
    names = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")
    names += ("dashboard_agent_listen_port",)
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    return cluster.add_node(wait=False, num_cpus=num_cpus, **ports, **settings)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head without cores and two nodes of one core, behind a token, at the loopback address."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in LOOPBACK_ONLY.items():
            patch.setenv(name, value)
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_enable_worker_prestart", "0")
        patch.setenv("LATHE_RAY_CPUS", "1")
        from ray.cluster_utils import Cluster

        cluster = Cluster()
        add_node(cluster, 0, include_dashboard=False, no_monitor=True, include_log_monitor=False)
        for _ in range(2):
            add_node(cluster, 1)
        patch.setenv("LATHE_RAY_ADDRESS", cluster.address)
        yield cluster
        cluster.shutdown()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> JobStore:
    return JobStore(tmp_path_factory.mktemp("ray") / "runs")


@pytest.fixture(scope="module")
def executor(cluster: Any, store: JobStore) -> Iterator[RayExecutor]:
    executor = RayExecutor(store, COMMAND, SupervisorConfig(max_backoff_seconds=1.0))
    executor.start()
    wait_for(lambda: store.num_workers() == 2)
    yield executor
    executor.stop()


def submit(store: JobStore, prompt: str) -> str:
    return store.submit(GenerationRequest(prompt=prompt), new_session())


def wait_for(condition: Callable[[], object]) -> float:
    """Return the seconds until the condition holds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < PATIENCE, "it never came to pass"
        time.sleep(0.02)
    return time.monotonic() - start


def file_of(store: JobStore, job_id: str, name: str) -> str:
    return (store.folder(store.status(job_id)) / name).read_text()


def states(store: JobStore, *ids: str) -> list[str]:
    return [store.status(job_id).state for job_id in ids]


@pytest.mark.slow
def test_two_nodes_run_two_jobs_at_once_and_tell_all_there_is_to_tell(
    executor: RayExecutor, store: JobStore
) -> None:
    ids = [submit(store, prompt) for prompt in ("count 20", "walk 12", "void", "fail")]
    wait_for(lambda: states(store, *ids[:2]) == ["running", "running"])
    wait_for(lambda: not store.queue())
    counted, gone, void, failed = [store.status(job_id) for job_id in ids]
    assert (counted.state, counted.step, counted.num_steps) == ("done", 20, 20)
    assert counted.previews.keys() == {"video"}
    assert store.preview(counted.id, "video")
    assert counted.known is not None
    assert counted.known.names == ("clock", "watch")
    assert (gone.state, gone.stage) == ("done", "report")
    assert (void.state, void.message) == ("failed", "no surface was found; try another seed")
    assert failed.state == "failed"
    assert "secret" not in failed.message
    # Timed from what the actors told, and of the two nodes alike.
    assert store.stage_seconds().keys() == {"video", "field", "mesh", "report"}


@pytest.mark.slow
def test_cancel_ends_a_job_within_two_seconds_whether_it_heeds_it_or_not(
    executor: RayExecutor, store: JobStore
) -> None:
    willing, stubborn = submit(store, "walk 2000"), submit(store, "hang 600")
    wait_for(lambda: store.status(willing).step > 2 and store.status(stubborn).stage == "video")
    for job_id in (willing, stubborn):
        store.cancel(job_id)
        assert wait_for(lambda job_id=job_id: states(store, job_id) == ["cancelled"]) < 2.0
    assert file_of(store, willing, "closed")
    assert not (store.folder(store.status(stubborn)) / "closed").exists()
    # The killed one's place is taken by a new worker, however long that takes to start.
    ids = [submit(store, "walk 2000"), submit(store, "walk 2000")]
    wait_for(lambda: states(store, *ids) == ["running", "running"])
    for job_id in ids:
        store.cancel(job_id)
    wait_for(lambda: not store.queue())


@pytest.mark.slow
def test_a_killed_worker_and_a_killed_node_lose_nothing_and_repeat_no_whole_stage(
    executor: RayExecutor, store: JobStore, cluster: Any
) -> None:
    first, second = submit(store, "walk 24"), submit(store, "walk 24")
    wait_for(lambda: store.status(first).stage == "field")
    wait_for(lambda: store.status(second).stage == "field")
    os.kill(int(file_of(store, first, "pid")), signal.SIGKILL)
    wait_for(lambda: store.status(first).stage is None)
    node = next(iter(cluster.worker_nodes))
    cluster.remove_node(node, allow_graceful=False)
    # One node and two jobs are left: one waits, and both end.
    wait_for(lambda: sorted(states(store, first, second)) != ["running", "running"])
    wait_for(lambda: not store.queue())
    assert states(store, first, second) == ["done", "done"]
    for job_id in (first, second):
        assert walked(store.folder(store.status(job_id))) == WHOLE_WALK
    assert store.num_workers() == 1


@pytest.mark.slow
def test_what_ran_when_the_page_ended_waits_for_the_next_start(
    executor: RayExecutor, store: JobStore
) -> None:
    job_id = submit(store, "walk 2000")
    wait_for(lambda: store.status(job_id).step > 2)
    executor.stop()
    assert states(store, job_id) == ["queued"]
    assert store.num_workers() == 0
    # Nobody goes on writing there.
    pid = int(file_of(store, job_id, "pid"))
    wait_for(lambda: not Path(f"/proc/{pid}").exists())
