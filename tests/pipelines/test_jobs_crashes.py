"""Whatever breaks, each job ends done or with a clear reason, and none runs twice."""

import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.jobs.database import FILE_NAME, Database
from pipelines.jobs.leases import LOST_MESSAGE
from pipelines.jobs.records import QueueLimits
from pipelines.jobs.store import JobStore, new_session
from pipelines.jobs.supervisor import Supervisor, SupervisorConfig
from pipelines.jobs.worker import run_job
from pipelines.request import GenerationRequest
from tests.pipelines.clockwork import WALK, Clockwork, walked

COMMAND = (sys.executable, "-m", "tests.pipelines.clockwork")
PATIENCE = 60.0
WHOLE_WALK = list(WALK)


def submit(store: JobStore, prompt: str) -> str:
    return store.submit(GenerationRequest(prompt=prompt), new_session())


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it never came to pass"
        time.sleep(0.01)


def walk_of(store: JobStore, job_id: str) -> list[str]:
    return walked(store.folder(store.status(job_id)))


def test_a_worker_killed_in_each_stage_in_turn_loses_nothing_and_repeats_no_whole_stage(
    tmp_path: Path,
) -> None:
    store = JobStore(tmp_path, QueueLimits(num_attempts=9))
    supervisor = Supervisor(store, COMMAND, SupervisorConfig(max_backoff_seconds=0.1))
    job_id = submit(store, "walk 8")
    following = submit(store, "count 1")
    supervisor.start()
    try:
        for stage in ("video", "field", "mesh", "report"):
            wait_for(lambda stage=stage: store.status(job_id).stage == stage)
            pid = supervisor.worker_pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: store.status(job_id).stage is None)
        wait_for(lambda: not store.status(following).is_live)
    finally:
        supervisor.stop()
    assert store.status(job_id).state == "done"
    assert walk_of(store, job_id) == WHOLE_WALK
    assert store.status(following).state == "done"


def test_a_job_that_brings_down_worker_after_worker_ends_with_a_reason(tmp_path: Path) -> None:
    store = JobStore(tmp_path, QueueLimits(num_attempts=2))
    supervisor = Supervisor(store, COMMAND, SupervisorConfig(max_backoff_seconds=0.1))
    deadly, following = submit(store, "die"), submit(store, "count 1")
    supervisor.start()
    try:
        wait_for(lambda: not store.status(following).is_live)
    finally:
        supervisor.stop()
    assert (store.status(deadly).state, store.status(deadly).message) == ("failed", LOST_MESSAGE)
    assert store.status(following).state == "done"


def test_a_page_and_worker_that_are_killed_together_leave_a_job_that_the_next_ones_finish(
    tmp_path: Path,
) -> None:
    store = JobStore(tmp_path)
    job_id = submit(store, "walk 2")
    # Killed at once they can give nothing back: what is left is a lease that runs out.
    job = store.claim("a worker that was killed", lease_seconds=0.2)
    assert job is not None
    supervisor = Supervisor(store, COMMAND)
    supervisor.start()
    try:
        wait_for(lambda: store.status(job_id).state == "done")
    finally:
        supervisor.stop()
    assert walk_of(store, job_id) == WHOLE_WALK


def run_while(store: JobStore, trouble: Iterator[None], monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a job whose store is in trouble for a second of it; return the job's id."""
    monkeypatch.setattr("pipelines.jobs.database.LOCK_SECONDS", 0.05)
    job_id = submit(store, "walk 4")
    job = store.claim()
    assert job is not None
    work = threading.Thread(target=run_job, args=(store, job, Clockwork()))
    next(trouble)
    work.start()
    time.sleep(1.0)
    next(trouble, None)
    work.join(PATIENCE)
    assert not work.is_alive()
    return job_id


def test_a_locked_store_delays_a_job_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(tmp_path)

    def lock() -> Iterator[None]:
        holder = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")
        holder.close()

    job_id = run_while(store, lock(), monkeypatch)
    assert store.status(job_id).state == "done"
    assert walk_of(store, job_id) == WHOLE_WALK


def test_a_full_disk_under_the_store_delays_a_job_and_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(tmp_path)
    whole = Database.reading

    @contextmanager
    def full(self: Database) -> Iterator[sqlite3.Connection]:
        with whole(self) as database:
            # As a full disk does, this lets nothing grow: SQLite says so in the same words.
            (count,) = database.execute("PRAGMA page_count").fetchone()
            database.execute(f"PRAGMA max_page_count = {count}")
            yield database

    def fill() -> Iterator[None]:
        with monkeypatch.context() as patched:
            patched.setattr(Database, "reading", full)
            with pytest.raises(sqlite3.OperationalError, match="full"):  # noqa: PT012
                for _ in range(50):
                    submit(store, "x" * 500)
            yield

    job_id = run_while(store, fill(), monkeypatch)
    assert store.status(job_id).state == "done"
    assert walk_of(store, job_id) == WHOLE_WALK


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "2000"),
        ({"GOMP_SPINCOUNT": "7"}, "7"),
        ({"OMP_WAIT_POLICY": "active"}, ""),
    ],
)
def test_a_worker_does_not_burn_the_core_that_others_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], told: str
) -> None:
    """Its threads sleep soon when they wait, unless the host has said how they shall wait."""
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    said = tmp_path / "said"
    script = (
        "import os, pathlib, sys, time\n"
        f"path = pathlib.Path({str(said)!r})\n"
        "path.with_suffix('.part').write_text('<' + os.environ.get('GOMP_SPINCOUNT', '') + '>')\n"
        "path.with_suffix('.part').rename(path)\n"
        "time.sleep(60)\n"
    )
    supervisor = Supervisor(JobStore(tmp_path / "runs"), (sys.executable, "-c", script))
    supervisor.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while not said.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert said.read_text() == f"<{told}>"
    finally:
        supervisor.stop()
