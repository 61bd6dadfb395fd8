"""What a job takes of the disk counts however it ended, so that the limit of all results holds."""

import time
from pathlib import Path

import pytest

from pipelines.jobs.keeping import LOOKED_SECONDS
from pipelines.jobs.records import Job
from pipelines.jobs.store import JobStore, new_session
from pipelines.request import CLIP_NAME, GenerationRequest

SOURCE_BYTES, MADE_BYTES = 3000, 50_000


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "runs")


def handed_in(store: JobStore) -> Job:
    source = store.root / "upload"
    source.write_bytes(bytes(SOURCE_BYTES))
    request = GenerationRequest(prompt="a mug", clip="0" * 64)
    return store.status(store.submit(request, new_session(), source))


def assert_the_limit_holds(
    store: JobStore, job: Job, num_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.prune(1e9)
    assert store.census().num_bytes == num_bytes
    later = time.time() + 2 * LOOKED_SECONDS
    monkeypatch.setattr(time, "time", lambda: later)
    store.prune(1e9, max_bytes=float(num_bytes))
    assert store.folder(job).exists()
    store.prune(1e9, max_bytes=float(num_bytes - 1))
    assert not store.folder(job).exists()
    assert store.census().num_bytes == 0


def test_what_is_handed_in_counts_at_once_and_after_it_was_cancelled_while_it_waited(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = handed_in(store)
    assert store.census().num_bytes == SOURCE_BYTES
    store.cancel(job.id)
    assert store.census().num_bytes == SOURCE_BYTES
    assert_the_limit_holds(store, job, SOURCE_BYTES, monkeypatch)


@pytest.mark.parametrize(
    ("order", "state"), [("cancel", "cancelled"), ("stop", "stopped"), (None, "failed")]
)
def test_what_a_worker_wrote_that_was_killed_counts(
    store: JobStore, order: str | None, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = handed_in(store)
    for _ in range(1 if order else store.limits.num_attempts):
        assert store.claim("worker") is not None
        (store.folder(job) / "orbit").mkdir(exist_ok=True)
        (store.folder(job) / "orbit" / "orbit.mp4").write_bytes(bytes(MADE_BYTES))
        if order:
            getattr(store, order)(job.id)
        store.release("worker", died=True)
    assert store.status(job.id).state == state
    assert_the_limit_holds(store, job, SOURCE_BYTES + MADE_BYTES, monkeypatch)


def test_what_a_killed_worker_wrote_counts_though_its_job_was_cancelled_while_it_waited_again(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = handed_in(store)
    assert store.claim("worker") is not None
    (store.folder(job) / "orbit.mp4").write_bytes(bytes(MADE_BYTES))
    store.release("worker", died=False)
    store.cancel(job.id)
    assert store.folder(job) / CLIP_NAME in store.folder(job).iterdir()
    assert_the_limit_holds(store, job, SOURCE_BYTES + MADE_BYTES, monkeypatch)


def test_a_job_that_runs_again_is_not_measured_before_it_ends(store: JobStore) -> None:
    job = handed_in(store)
    store.cancel(job.id)
    store.resume(job.id)
    assert store.claim("worker") is not None
    (store.folder(job) / "orbit.mp4").write_bytes(bytes(MADE_BYTES))
    store.prune(1e9, max_bytes=0.0)
    assert store.census().num_bytes == SOURCE_BYTES
    store.finish(job.id, "done", num_bytes=7)
    assert store.census().num_bytes == 7
