import json
import time
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import RequestError
from pipelines.jobs.estimate import fraction_done, relative_work
from pipelines.jobs.records import LIMITS_VARIABLE, KnownThings
from pipelines.jobs.store import JobStore, QueueLimits, new_session
from pipelines.request import GenerationRequest
from threed.progress import STAGES, Progress, Stage


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "runs", QueueLimits(per_session=3, in_all=5))


def request(prompt: str = "a chair") -> GenerationRequest:
    return GenerationRequest(prompt=prompt, seed=7, num_frames=12, distil=False)


def progress(stage: Stage, step: int = 1, num_steps: int = 4) -> Progress:
    return Progress(stage=stage, step=step, num_steps=num_steps, message="at work")


def test_a_request_comes_out_of_the_queue_as_it_went_in(store: JobStore) -> None:
    session = new_session()
    job_id = store.submit(request("ein Stuhl, grün “quoted” 椅子"), session)
    claimed = store.claim()
    assert claimed is not None
    assert (claimed.id, claimed.session, claimed.state) == (job_id, session, "running")
    assert claimed.request == request("ein Stuhl, grün “quoted” 椅子")


def test_the_oldest_job_is_claimed_first_and_each_once(store: JobStore) -> None:
    ids = [store.submit(request(), new_session()) for _ in range(4)]
    claimed = [store.claim() for _ in range(5)]
    assert [job and job.id for job in claimed] == [*ids, None]


def test_num_ahead_counts_what_runs_or_waits_before(store: JobStore) -> None:
    ids = [store.submit(request(), new_session()) for _ in range(4)]
    assert [store.status(job_id).num_ahead for job_id in ids] == [0, 1, 2, 3]
    store.claim()
    assert [store.status(job_id).num_ahead for job_id in ids] == [0, 1, 2, 3]
    store.finish(ids[0], "done")
    store.cancel(ids[2])
    assert [store.status(job_id).num_ahead for job_id in ids] == [0, 0, 0, 1]


def test_a_session_may_not_fill_the_queue_and_the_refusal_says_how_much_is_allowed(
    store: JobStore,
) -> None:
    session = new_session()
    ids = [store.submit(request(), session) for _ in range(3)]
    with pytest.raises(RequestError, match=r"3 of your jobs .* 3 are allowed"):
        store.submit(request(), session)
    store.submit(request(), new_session())
    store.cancel(ids[0])
    store.submit(request(), session)


def test_a_full_queue_refuses_everybody(store: JobStore) -> None:
    for _ in range(5):
        store.submit(request(), new_session())
    with pytest.raises(RequestError, match="5 jobs wait already"):
        store.submit(request(), new_session())


@pytest.mark.parametrize("session", ["", "../../../../etc/passwd", "a" * 21, "a" * 23, "ä" * 22])
def test_a_session_that_was_not_given_out_is_refused(store: JobStore, session: str) -> None:
    with pytest.raises(RequestError, match="reload"):
        store.submit(request(), session)


def test_a_session_sees_its_own_jobs_the_newest_first(store: JobStore) -> None:
    mine, other = new_session(), new_session()
    first, second = store.submit(request(), mine), store.submit(request(), mine)
    store.submit(request(), other)
    assert [job.id for job in store.jobs(mine)] == [second, first]
    assert store.jobs(new_session()) == []


def test_folders_of_two_sessions_share_no_parent_but_the_root(store: JobStore) -> None:
    jobs = [store.status(store.submit(request(), new_session())) for _ in range(2)]
    folders = [store.folder(job) for job in jobs]
    assert folders[0].parent != folders[1].parent
    assert all(job.session == folder.parent.name for job, folder in zip(jobs, folders, strict=True))
    assert store.root.stat().st_mode & 0o077 == 0


def test_cancel_ends_a_waiting_job_at_once_and_flags_a_running_one(store: JobStore) -> None:
    running, waiting = (store.submit(request(), new_session()) for _ in range(2))
    store.claim()
    assert store.order(running) is None
    store.cancel(running)
    store.cancel(waiting)
    assert store.order(running) == "cancel"
    assert store.status(running).state == "running"
    assert store.status(running).cancelling
    assert store.status(waiting).state == "cancelled"
    assert [job.id for job in store.overdue("local", 0.0, 60.0)] == [running]
    assert store.overdue("local", 60.0, 60.0) == []
    assert store.overdue("another", 0.0, 0.0) == []
    assert store.claim() is None


def test_what_has_ended_stays_as_it_ended(store: JobStore) -> None:
    job_id = store.submit(request(), new_session())
    store.claim()
    store.finish(job_id, "failed", "no surface")
    before = store.status(job_id)
    store.cancel(job_id)
    store.finish(job_id, "done")
    store.publish(job_id, progress("mesh"), None)
    assert store.status(job_id) == before


def test_progress_is_what_was_published_last(store: JobStore) -> None:
    job_id = store.submit(request(), new_session())
    store.claim()
    store.publish(job_id, progress("video", 1), b"one")
    store.publish(job_id, progress("video", 2), b"two")
    store.publish(job_id, progress("field", 3), None)
    known = KnownThings(familiar=False, names=("stool", "bench"), drawn_as="a stool")
    store.publish_known(job_id, known)
    job = store.status(job_id)
    assert (job.stage, job.step, job.num_steps, job.message) == ("field", 3, 4, "at work")
    assert job.known == known
    assert job.previews == {"video": 2}
    assert store.preview(job_id, "video") == b"two"
    assert store.preview(job_id, "field") is None


def test_stage_durations_add_up_to_the_run(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store.submit(request(), new_session())
    clock = iter(np.arange(100.0, 200.0, 2.5).tolist())
    monkeypatch.setattr(time, "time", lambda: next(clock))
    store.claim()  # at 100
    told: list[tuple[Stage, int]] = [("video", 1), ("video", 4), ("field", 1), ("mesh", 1)]
    for stage, step in told:
        store.publish(job_id, progress(stage, step), None)  # at 102.5, 105, 107.5 and 110
    store.finish(job_id, "done")  # at 112.5
    # Kept as if with usual settings: half the frames make a cheaper video.
    cost = relative_work(request())
    assert cost["video"] < 1.0
    kept = store.stage_seconds()
    assert kept.keys() == {"video", "field", "mesh"}
    took: dict[Stage, float] = {"video": 5.0, "field": 2.5, "mesh": 2.5}
    assert all(kept[name] == [pytest.approx(took[name] / cost[name])] for name in took)
    assert store.status(job_id).started == 100.0
    assert store.status(job_id).finished == 112.5


@pytest.mark.parametrize("pace", [0.01, 1.0, 100.0])
def test_the_bar_never_falls_over_a_run_at_any_pace(
    store: JobStore, monkeypatch: pytest.MonkeyPatch, pace: float
) -> None:
    job_id = store.submit(GenerationRequest(prompt="a chair"), new_session())
    now = 100.0
    monkeypatch.setattr(time, "time", lambda: now)
    store.claim()
    fractions = []
    # Each stage at another pace than the one before it, so that no two estimates agree.
    for index, stage in enumerate(STAGES):
        for step in range(5):
            now += pace * (index + 1)
            store.publish(job_id, progress(stage, step), None)
            fractions.append(fraction_done(store.status(job_id), store.stage_seconds()))
    store.finish(job_id, "done")
    fractions.append(fraction_done(store.status(job_id), store.stage_seconds()))
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert store.stage_seconds().keys() == set(STAGES)


def test_the_time_in_which_the_program_stood_still_is_no_stages_duration(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = store.submit(request(), new_session())
    now = 100.0
    monkeypatch.setattr(time, "time", lambda: now)
    store.claim()
    store.publish(job_id, progress("video", 3), None)
    store.release("local", died=True)
    waiting = store.status(job_id)
    assert (waiting.stage, waiting.stage_started, waiting.step) == (None, None, 0)
    now += 3600.0
    store.claim()
    store.publish(job_id, progress("field"), None)
    store.finish(job_id, "done")
    assert store.stage_seconds() == {}


def test_a_cancelled_stage_teaches_no_duration(store: JobStore) -> None:
    job_id = store.submit(request(), new_session())
    store.claim()
    store.publish(job_id, progress("video"), None)
    store.finish(job_id, "cancelled")
    assert store.stage_seconds() == {}


def test_a_job_that_was_running_when_the_program_stopped_is_taken_up_again_first(
    store: JobStore,
) -> None:
    first, second, third = (store.submit(request(), new_session()) for _ in range(3))
    store.claim()
    reopened = JobStore(store.root, store.limits)
    for _ in range(store.limits.num_attempts - 1):
        reopened.release("local", died=True)
        claimed = reopened.claim()
        assert claimed is not None
        assert claimed.id == first
    # It took the program down so often: now it has had its chances.
    reopened.release("local", died=True)
    assert reopened.status(first).state == "failed"
    assert "stopped" in reopened.status(first).message
    reopened.claim()
    reopened.cancel(second)
    reopened.release("local", died=True)
    assert reopened.status(second).state == "cancelled"
    assert reopened.status(third).state == "queued"


def test_prune_forgets_old_jobs_with_their_files_and_no_others(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = new_session()
    old, fresh = store.submit(request(), session), store.submit(request(), session)
    folders = {}
    now = time.time()
    for job_id, finished in ((old, now - 100.0), (fresh, now - 1.0)):
        job = store.claim()
        assert job is not None
        folders[job_id] = store.folder(job)
        folders[job_id].mkdir(parents=True)
        (folders[job_id] / "request.json").write_text(json.dumps({}))
        store.publish(job_id, progress("video"), b"picture")
        with monkeypatch.context() as patched:
            patched.setattr(time, "time", lambda finished=finished: finished)
            store.finish(job_id, "done")
    waiting = store.submit(request(), session)
    store.prune(50.0)
    assert [job.id for job in store.jobs(session)] == [waiting, fresh]
    assert not folders[old].exists()
    assert folders[fresh].exists()
    assert store.preview(old, "video") is None
    with pytest.raises(KeyError):
        store.status(old)


@pytest.mark.parametrize(
    "name", ["per_session", "running_per_session", "per_hour", "in_all", "num_attempts"]
)
def test_a_limit_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is 0"):
        QueueLimits(**{name: 0})


def test_an_address_may_have_more_than_a_visitor_and_no_more_than_that(tmp_path: Path) -> None:
    limits = QueueLimits(per_session=2, per_address=4, per_address_hour=6, running_per_address=1)
    store = JobStore(tmp_path, limits)
    ids = [store.submit(request(), new_session(), caller="home") for _ in range(4)]
    with pytest.raises(RequestError, match="4 jobs at once are allowed from one network address"):
        store.submit(request(), new_session(), caller="home")
    # Others have their own, and of whom nobody knows where they are, nobody counts.
    elsewhere = store.submit(request(), new_session(), caller="elsewhere")
    unknown = [store.submit(request(), new_session()) for _ in range(9)]
    claimed = [job and job.id for job in (store.claim(), store.claim(), store.claim())]
    assert claimed == [ids[0], elsewhere, unknown[0]]
    for job_id in ids:
        store.cancel(job_id)
    store.finish(ids[0], "cancelled")
    store.submit_batch([request(), request()], new_session(), caller="home")
    with pytest.raises(RequestError, match="6 jobs came from your network address within the hour"):
        store.submit(request(), new_session(), caller="home")
    # What is taken up again counts where it is taken up, and is nothing new within the hour.
    store.resume(ids[1], caller="home")
    store.resume(ids[2], caller="home")
    with pytest.raises(RequestError, match="one network address"):
        store.resume(ids[3], caller="home")
    store.resume(ids[3], caller="elsewhere")


def test_an_address_is_forgotten_when_it_counts_no_more(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    done, live = (store.submit(request(), new_session(), caller="home") for _ in range(2))
    store.cancel(done)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3700)
    store.prune(7 * 24 * 3600.0)
    with store.reading() as database:
        callers = dict(database.execute("SELECT id, caller FROM jobs").fetchall())
    assert callers == {done: None, live: "home"}


def test_the_host_may_set_each_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert QueueLimits.from_environment() == QueueLimits()
    monkeypatch.setenv(LIMITS_VARIABLE, "per_hour=20, per_address = 0,")
    assert QueueLimits.from_environment() == QueueLimits(per_hour=20, per_address=0)
    for wrong in ("per_day=3", "per_hour", "per_hour=-1", "per_hour=0", "per_hour=2.5"):
        monkeypatch.setenv(LIMITS_VARIABLE, wrong)
        with pytest.raises(ValueError, match="per_"):
            QueueLimits.from_environment()
