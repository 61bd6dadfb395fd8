"""Several workers on one store: a job is one worker's at a time, none is lost, none runs twice."""

import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import RequestError
from pipelines.jobs.database import FILE_NAME, TABLES
from pipelines.jobs.records import QueueLimits
from pipelines.jobs.store import JobStore, new_session
from pipelines.request import GenerationRequest
from threed.progress import Progress

REQUEST = GenerationRequest(prompt="a chair", video_only=True)


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "runs")


def progress(step: int) -> Progress:
    return Progress(stage="video", step=step, num_steps=4, message="at work")


def test_workers_that_claim_at_once_never_share_a_job(tmp_path: Path) -> None:
    store = JobStore(tmp_path, QueueLimits(in_all=100))
    ids = {store.submit(REQUEST, new_session()) for _ in range(24)}
    claimed: list[str] = []

    def take(worker: str) -> None:
        while job := JobStore(tmp_path, store.limits).claim(worker):
            claimed.append(job.id)

    workers = [threading.Thread(target=take, args=(f"worker {i}",)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(claimed) == len(ids)
    assert set(claimed) == ids


def test_a_silent_workers_job_goes_to_another_and_the_first_is_not_heard_any_more(
    store: JobStore,
) -> None:
    job_id = store.submit(REQUEST, new_session())
    first = store.claim("first", lease_seconds=0.05)
    assert first is not None
    store.publish(job_id, progress(1), b"one", first.lease)
    time.sleep(0.06)
    store.reclaim()
    second = store.claim("second")
    assert second is not None
    assert second.id == job_id
    assert second.lease != first.lease
    store.publish(job_id, progress(3), b"from the dead", first.lease)
    store.finish(job_id, "failed", "from the dead", first.lease)
    assert store.order(job_id, first.lease) == "abandon"
    assert store.order(job_id, second.lease) is None
    job = store.status(job_id)
    assert (job.state, job.step, job.worker) == ("running", 0, "second")
    assert store.preview(job_id, "video") == b"one"
    store.finish(job_id, "done", "", second.lease)
    assert store.status(job_id).state == "done"


def test_a_heartbeat_keeps_the_lease_and_counts_the_worker(store: JobStore) -> None:
    store.submit(REQUEST, new_session())
    store.claim("steady", lease_seconds=0.05)
    store.beat("steady", lease_seconds=60.0)
    time.sleep(0.06)
    store.reclaim()
    assert [job.worker for job in store.held("steady")] == ["steady"]
    assert store.num_workers() == 1
    store.release("steady", died=False)
    assert store.num_workers() == 0
    assert [job.state for job in store.queue()] == ["queued"]


def test_a_program_that_is_stopped_in_good_order_costs_no_attempt(store: JobStore) -> None:
    job_id = store.submit(REQUEST, new_session())
    for _ in range(3 * store.limits.num_attempts):
        assert store.claim("worker") is not None
        store.release("worker", died=False)
    assert store.status(job_id).state == "queued"


def test_a_visitor_of_whom_enough_runs_is_passed_over(tmp_path: Path) -> None:
    store = JobStore(tmp_path, QueueLimits(running_per_session=1))
    greedy, modest = new_session(), new_session()
    first, second = (store.submit(REQUEST, greedy) for _ in range(2))
    third = store.submit(REQUEST, modest)
    claims = [store.claim(f"worker {i}") for i in range(3)]
    assert [job and job.id for job in claims] == [first, third, None]
    store.finish(first, "done")
    claimed = store.claim()
    assert claimed is not None
    assert claimed.id == second


@pytest.mark.parametrize(
    ("order", "state", "said"), [("cancel", "cancelled", "cancel"), ("stop", "stopped", "stop")]
)
def test_what_was_asked_to_end_ends_so_even_if_its_worker_dies(
    store: JobStore, order: str, state: str, said: str
) -> None:
    running, waiting = (store.submit(REQUEST, new_session()) for _ in range(2))
    store.claim("worker")
    for job_id in (running, waiting):
        getattr(store, order)(job_id)
    assert store.status(waiting).state == state
    assert store.order(running) == said
    store.release("worker", died=True)
    assert store.status(running).state == state
    assert store.claim("worker") is None


def test_a_job_resumed_or_built_on_goes_to_the_end_of_the_queue_under_its_own_id(
    store: JobStore,
) -> None:
    job_id = store.submit(REQUEST, new_session())
    with pytest.raises(RequestError, match="queued"):
        store.resume(job_id)
    store.cancel(job_id)
    other = store.submit(REQUEST, new_session())
    store.resume(job_id)
    assert [job.id for job in store.queue()] == [other, job_id]
    assert store.status(job_id).num_ahead == 1
    for _ in range(2):
        assert store.claim() is not None
    store.finish(job_id, "done")
    with pytest.raises(RequestError, match="done"):
        store.resume(job_id)
    whole = GenerationRequest(prompt="a chair")
    store.build(job_id, whole)
    job = store.status(job_id)
    assert (job.state, job.request, job.continued) == ("queued", whole, True)


def test_the_instant_of_a_finished_video_teaches_no_duration(store: JobStore) -> None:
    job_id = store.submit(REQUEST, new_session())
    store.claim()
    store.finish(job_id, "done")
    store.build(job_id, GenerationRequest(prompt="a chair"))
    store.claim()
    for stage in ("video", "field", "mesh"):
        store.publish(job_id, Progress(stage=stage, step=1, num_steps=1, message="m"), None)
    store.finish(job_id, "done")
    assert store.stage_seconds().keys() == {"field", "mesh"}


@pytest.mark.parametrize("kind", ["clip", "picture"])
def test_a_failed_write_leaves_nothing_behind(kind: str, store: JobStore) -> None:
    request = replace(REQUEST, **{kind: "0" * 64})
    with pytest.raises(FileNotFoundError):
        store.submit(request, new_session(), source=store.root / "absent")
    assert store.queue() == []
    assert list((store.root / "sessions").glob("*/*")) == []


def test_a_store_of_the_first_edition_is_brought_up_to_date(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE_NAME) as database:
        database.executescript(TABLES)
        for number in range(2):
            database.execute(
                "INSERT INTO jobs (id, session, request) VALUES (?, ?, ?)",
                (f"{number:022}", "s" * 22, REQUEST.to_json()),
            )
    database.close()
    store = JobStore(tmp_path)
    assert [job.id for job in store.queue()] == [f"{number:022}" for number in range(2)]
    assert [job.title for job in store.jobs("s" * 22)] == ["a chair"] * 2
    assert JobStore(tmp_path).claim() is not None
