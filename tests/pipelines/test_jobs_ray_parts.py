"""The executor `ray` without a cluster of several nodes: its plans, its words, who may reach it."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import RequestError
from pipelines.jobs.executor import open_executor
from pipelines.jobs.ray_cluster import LOOPBACK_ONLY, RayConfig, check_ray, plan_slots
from pipelines.jobs.ray_executor import RayExecutor
from pipelines.jobs.records import KnownThings, QueueLimits
from pipelines.jobs.store import JobStore, new_session
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.jobs.worker import run_job
from pipelines.request import GenerationRequest
from tests.pipelines.clockwork import Clockwork
from threed.progress import Progress, Stage
from threed.run_folder import RunFolder

# Ray keeps the way of authentication that a process used first: files must keep their order.
pytestmark = pytest.mark.alone
COMMAND = (sys.executable, "-m", "tests.pipelines.clockwork_ray")
PATIENCE = 180.0
LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
"""127.0.0.1, the same as an IPv6 address, and ::1, as the kernel writes them."""
LISTENS = "0A"


def node(name: str, cpus: float, gpus: float = 0, alive: bool = True) -> dict[str, object]:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cpus, "GPU": gpus}}


def test_a_worker_a_gpu_and_none_elsewhere_where_there_is_any_gpu() -> None:
    slots = plan_slots([node("head", 8), node("a", 96, 8), node("b", 4, 8, alive=False)], 2)
    assert [(slot.node, slot.index) for slot in slots] == [("a", index) for index in range(8)]
    assert {(slot.num_cpus, slot.num_gpus) for slot in slots} == {(12, 1)}


def test_without_gpus_the_cores_are_shared_out() -> None:
    slots = plan_slots([node("none", 0), node("one", 1), node("five", 5)], 2)
    assert [(slot.node, slot.num_cpus) for slot in slots] == [("one", 1), ("five", 2), ("five", 2)]
    # However they are cut, no machine's cores are promised twice.
    for cpus in range(20):
        assert sum(slot.num_cpus for slot in plan_slots([node("x", cpus)], 3)) <= cpus


def test_what_is_asked_of_ray_is_checked_before_it_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(tmp_path)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LATHE_EXECUTOR", "ray")
    assert isinstance(open_executor(store), RayExecutor)
    monkeypatch.setenv("LATHE_RAY_CPUS", "many")
    with pytest.raises(RequestError, match="LATHE_RAY_CPUS is 'many'"):
        open_executor(store)
    monkeypatch.setenv("LATHE_RAY_CPUS", "4")
    # A client of another kind, which knows neither nodes nor a kill.
    monkeypatch.setenv("LATHE_RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(RequestError, match="has the form HOST:PORT"):
        open_executor(store)
    monkeypatch.setenv("LATHE_RAY_ADDRESS", "head:6379")
    with pytest.raises(RequestError, match="its token is nowhere to be found"):
        open_executor(store)
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    assert RayConfig.from_environment() == RayConfig(address="head:6379", cpus_per_worker=4)
    open_executor(store)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RequestError, match="pip install -r requirements-ray.txt"):
        check_ray(RayConfig())


def step(stage: Stage, number: int, picture: bool = False) -> Progress:
    preview = np.zeros((1, 2, 2, 3), np.uint8) if picture else None
    return Progress(stage=stage, step=number, num_steps=9, message="", preview=preview)


def test_news_wait_until_they_are_asked_for_and_lose_no_stage_and_no_picture(
    tmp_path: Path,
) -> None:
    from pipelines.jobs.ray_actor import Link

    link = Link(tmp_path, "lease")
    link.publish_known("job", KnownThings(familiar=True, names=("chair",)))
    link.publish("job", step("video", 1, picture=True), b"first")
    link.publish("job", step("video", 2, picture=True), b"second")
    link.publish("job", step("video", 3), None)
    link.publish("job", step("field", 0), None)
    news = link.exchange()
    assert news.known is not None
    assert [(told.stage, told.step, image) for told, image in news.steps] == [
        ("video", 3, b"second"),
        ("field", 0, None),
    ]
    # Frames are large, and nobody asks for them.
    assert all(told.preview is None for told, _ in news.steps)
    assert link.exchange().steps == ()


def test_an_order_for_a_job_that_has_ended_does_not_reach_the_next(tmp_path: Path) -> None:
    from pipelines.jobs.ray_actor import Link

    link = Link(tmp_path, "new lease")
    link.exchange("cancel", "old lease")
    assert link.order("job") is None
    link.exchange("cancel", "new lease")
    link.exchange()
    assert link.order("job") == "cancel"


def test_a_job_runs_on_a_link_as_on_the_store(tmp_path: Path) -> None:
    from pipelines.jobs.ray_actor import Link

    store = JobStore(tmp_path)
    store.submit(GenerationRequest(prompt="count 3"), new_session())
    job = store.claim()
    assert job is not None
    link = Link(store.folder(job), job.lease)
    run_job(link, job, Clockwork())
    ending = link.ending()
    assert (ending.state, ending.news.steps[-1][0].step) == ("done", 3)
    assert ending.num_bytes > 0
    assert RunFolder(store.folder(job)).done("orbit")


def test_a_folder_that_a_dead_worker_still_locks_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.jobs import ray_actor

    held = RunFolder.create(tmp_path / "run")
    link = ray_actor.Link(tmp_path / "run", "lease")
    monkeypatch.setattr(ray_actor, "FREE_SECONDS", 0.1)
    start = time.monotonic()
    ray_actor._wait_until_free(tmp_path / "run", link)
    assert time.monotonic() - start > 0.1
    monkeypatch.setattr(ray_actor, "FREE_SECONDS", 60.0)
    link.exchange("cancel", "lease")
    ray_actor._wait_until_free(tmp_path / "run", link)
    held.close()
    ray_actor._wait_until_free(tmp_path / "run", ray_actor.Link(tmp_path / "run", "lease"))
    RunFolder.create(tmp_path / "run").close()
    assert time.monotonic() - start < 30.0


def test_a_worker_takes_those_that_are_named_after_it_with_it(tmp_path: Path) -> None:
    store = JobStore(tmp_path, QueueLimits(num_attempts=1))
    workers = ("driver/1", "driver/2", "driver10/1", "other")
    ids = {}
    for worker in workers:
        job_id = store.submit(GenerationRequest(prompt="count 1"), new_session())
        assert store.claim(worker)
        store.beat(worker)
        ids[worker] = job_id
    store.cancel(ids["other"])
    orders = store.orders()
    assert sorted(map(str, orders.values())) == ["None", "None", "None", "cancel"]
    assert set(orders) == {store.status(job_id).lease for job_id in ids.values()}
    store.release("driver", died=False)
    states = [store.status(ids[worker]).state for worker in workers]
    assert states == ["queued", "queued", "running", "running"]
    assert store.num_workers() == 2


def descendants(pid: int) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def listening(pids: list[int]) -> dict[tuple[str, int], str]:
    """Return the program behind every address and port at which one of the processes listens."""
    owners = {}
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                owners[os.readlink(link)] = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
            except OSError:
                continue
    found = {}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and f"socket:[{fields[9]}]" in owners:
                address, port = fields[1].split(":")
                found[address, int(port, 16)] = owners[f"socket:[{fields[9]}]"]
    return found


STRANGER = """
import sys
from ray._raylet import GcsClient
from ray.exceptions import AuthenticationError
try:
    GcsClient(address=sys.argv[1])
except AuthenticationError:
    sys.exit(3)
"""


def start_driver(store: JobStore) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, str(store.root)], stdin=subprocess.PIPE, start_new_session=True, cwd=PROJECT_ROOT
    )


@pytest.mark.slow
def test_a_cluster_of_its_own_is_closed_to_strangers_and_ends_with_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*LOOPBACK_ONLY, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "LATHE_RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    store = JobStore(tmp_path / "runs")
    done = store.submit(GenerationRequest(prompt="count 2"), new_session())
    cut = store.submit(GenerationRequest(prompt="walk 9000"), new_session())
    for _ in range(4):
        driver = start_driver(store)
        wait_for(lambda driver=driver: driver.poll() is not None or store.status(cut).step > 0)
        # Ray gives up where its agents take more than 15 s to start, as on a machine that is busy;
        # the page would start it again.
        if driver.poll() is None:
            break
    try:
        assert store.status(done).state == "done"
        pids = descendants(driver.pid)
        ports = listening(pids)
        assert {address for address, _ in ports} <= LOOPBACK
        (gcs,) = [port for (_, port), program in ports.items() if "gcs_server" in program]
        stranger = subprocess.run(
            [sys.executable, "-c", STRANGER, f"127.0.0.1:{gcs}"],
            env=os.environ | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64},
            timeout=PATIENCE,
            check=False,
        )
        assert stranger.returncode == 3
        # As it closes when the page is killed.
        assert driver.stdin is not None
        driver.stdin.close()
        driver.wait(PATIENCE)
        wait_for(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))
        assert store.status(cut).state == "queued"
    finally:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.05)
