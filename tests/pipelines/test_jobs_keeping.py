"""The gallery, what is shared of it, and what is forgotten."""

import time
from pathlib import Path

import pytest

from pipelines.errors import RequestError
from pipelines.jobs.housekeeping import Housekeeper
from pipelines.jobs.keeping import LOOKED_SECONDS
from pipelines.jobs.records import QueueLimits
from pipelines.jobs.reserve import NUM_BYTES
from pipelines.jobs.store import JobStore, new_session
from pipelines.request import GenerationRequest


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "runs", QueueLimits(per_session=8, per_hour=8))


def finished(store: JobStore, session: str, prompt: str = "a chair", num_bytes: int = 0) -> str:
    job_id = store.submit(GenerationRequest(prompt=prompt), session)
    job = store.claim()
    assert job is not None
    store.folder(job).mkdir(parents=True)
    store.finish(job_id, "done", "", job.lease, num_bytes)
    return job_id


def test_search_finds_words_of_title_and_prompt_in_any_order_and_case(store: JobStore) -> None:
    session = new_session()
    chair = finished(store, session, "a wooden Chair with 100% Übermut")
    finished(store, session, "a palm tree")
    finished(store, new_session(), "a wooden chair")
    store.rename(chair, "Grandmother's throne")
    for search in ("chair WOODEN", "übermut", "100%", "throne", "throne chair"):
        assert [job.id for job in store.jobs(session, search)] == [chair]
    for search in ("w%n", "_", "wooden palm"):
        assert store.jobs(session, search) == []
    assert len(store.jobs(session)) == 2
    assert len(store.jobs(session, limit=1)) == 1


def test_an_empty_title_gives_the_prompt_back(store: JobStore) -> None:
    job_id = finished(store, new_session())
    store.rename(job_id, "  My \n throne ")
    assert store.status(job_id).title == "My throne"
    store.rename(job_id, " ")
    assert store.status(job_id).title == "a chair"
    for bad in ("x" * 121, "a\x00b"):
        with pytest.raises(RequestError, match="title"):
            store.rename(job_id, bad)


def test_a_batch_is_taken_whole_or_not_at_all(store: JobStore) -> None:
    session = new_session()
    requests = [GenerationRequest(prompt="a chair", seed=seed) for seed in range(4)]
    ids = store.submit_batch(requests, session)
    jobs = store.jobs(session)
    assert [job.id for job in reversed(jobs)] == ids
    (batch,) = {job.batch for job in jobs}
    assert batch is not None
    assert [job.id for job in store.jobs(session, batch=batch)] == [job.id for job in jobs]
    store.submit(requests[0], session)
    with pytest.raises(RequestError, match="4 more"):
        store.submit_batch(requests, session)
    assert len(store.jobs(session)) == 5


def test_a_visitors_hour_is_bounded_and_deleting_does_not_refill_it(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session()
    for _ in range(8):
        store.delete(finished(store, session))
    store.prune(3600.0)
    assert store.jobs(session) == []
    with pytest.raises(RequestError, match="within the hour"):
        store.submit(GenerationRequest(prompt="a chair"), session)
    later = time.time() + 3601.0
    monkeypatch.setattr(time, "time", lambda: later)
    store.submit(GenerationRequest(prompt="a chair"), session)


def test_what_is_deleted_is_out_of_sight_at_once_and_off_the_disk_soon(store: JobStore) -> None:
    session = new_session()
    job_id = store.submit(GenerationRequest(prompt="a chair"), session)
    job = store.claim()
    assert job is not None
    store.folder(job).mkdir(parents=True)
    token = store.share(job_id)
    store.delete(job_id)
    assert store.jobs(session) == []
    assert store.shared(token) is None
    with pytest.raises(KeyError):
        store.status(job_id)
    # While its worker still writes, its files stay.
    assert store.order(job_id, job.lease) == "cancel"
    store.prune(3600.0)
    assert store.folder(job).exists()
    store.finish(job_id, "cancelled", "", job.lease)
    store.prune(3600.0)
    assert not store.folder(job).exists()


def test_a_share_can_be_withdrawn_and_comes_back_as_another(store: JobStore) -> None:
    job_id = finished(store, new_session())
    token = store.share(job_id)
    assert store.share(job_id) == token
    assert token not in (job_id, store.status(job_id).session)
    shared = store.shared(token)
    assert shared is not None
    assert shared.id == job_id
    store.unshare(job_id)
    assert store.shared(token) is None
    assert store.share(job_id) != token
    for stranger in ("", job_id, "../../etc/passwd", "' OR 1=1 --"):
        assert store.shared(stranger) is None


def test_beyond_the_size_the_least_lately_looked_at_goes_and_nothing_that_is_looked_at(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session()
    ids = [finished(store, session, f"thing {i}", num_bytes=100) for i in range(4)]
    now = time.time() + 2 * LOOKED_SECONDS
    monkeypatch.setattr(time, "time", lambda: now)
    store.touch(ids[0])
    store.prune(1e9, max_bytes=250.0)
    assert [job.id for job in store.jobs(session)] == [ids[3], ids[0]]
    store.touch(ids[3])
    store.prune(1e9, max_bytes=0.0)
    assert [job.id for job in store.jobs(session)] == [ids[3], ids[0]]


def test_age_counts_from_the_last_look(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    session = new_session()
    seen, unseen = finished(store, session), finished(store, session)
    start = time.time()
    monkeypatch.setattr(time, "time", lambda: start + 90.0)
    store.touch(seen)
    monkeypatch.setattr(time, "time", lambda: start + 120.0)
    store.prune(60.0)
    assert [job.id for job in store.jobs(session)] == [seen]
    assert unseen != seen


def test_a_place_on_the_disk_is_kept_back_and_given_up_once(store: JobStore) -> None:
    housekeeper = Housekeeper(store)
    housekeeper.look()
    kept = store.root / "reserve"
    # Not a hole in a file, which would keep nothing.
    assert kept.stat().st_blocks * 512 >= NUM_BYTES
    store.reserve.give()
    store.reserve.give()
    assert not kept.exists()
