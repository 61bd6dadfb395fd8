"""The desk: a visitor reaches their own jobs, by every call, and nobody else's by any."""

import hashlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import RequestError
from pipelines.jobs.database import FILE_NAME
from pipelines.jobs.executor import Executor
from pipelines.jobs.inline import InlineExecutor
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.jobs.worker import run_job
from pipelines.request import CLIP_NAME, GenerationRequest
from tests.pipelines.clockwork import Clockwork
from threed.export_formats import find_format
from threed.run_folder import REDRAWN_NAME, RunFolder
from ui.desk import NOT_YOURS, Desk, runs_root

VIDEO = GenerationRequest(prompt="count 2", video_only=True)


def run_next(desk: Desk) -> None:
    job = desk.store.claim()
    assert job is not None
    run_job(desk.store, job, Clockwork())


def test_both_executors_meet_the_protocol(desk: Desk) -> None:
    assert isinstance(desk.executor, Executor)
    assert isinstance(InlineExecutor(desk.store, Clockwork()), Executor)


def test_the_next_start_of_the_program_finds_what_this_one_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LATHE_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    assert runs_root() == PROJECT_ROOT / "runs"
    monkeypatch.setenv("LATHE_RUNS", str(tmp_path))
    assert runs_root() == tmp_path


@pytest.mark.parametrize(
    "call",
    [
        lambda desk, job_id, key: desk.job(job_id, key),
        lambda desk, job_id, key: desk.retry(job_id, key),
        lambda desk, job_id, key: desk.resume(job_id, key),
        lambda desk, job_id, key: desk.build(job_id, key),
        lambda desk, job_id, key: desk.rename(job_id, key, "mine now"),
        lambda desk, job_id, key: desk.delete(job_id, key),
        lambda desk, job_id, key: desk.share(job_id, key),
        lambda desk, job_id, key: desk.unshare(job_id, key),
    ],
)
def test_no_call_reaches_another_visitors_job_or_says_that_there_is_one(
    desk: Desk, call: Callable[[Desk, object, object], object]
) -> None:
    mine, other = desk.session(None), desk.session(None)
    job_id = desk.store.submit(VIDEO, mine)
    run_next(desk)
    before = desk.store.status(job_id)
    refusals = set()
    for strange_id, key in [(job_id, other), ("x" * 22, mine), (job_id, None), (7, mine)]:
        with pytest.raises(RequestError) as refused:
            call(desk, strange_id, key)
        refusals.add(str(refused.value))
    assert len(refusals) == 1
    assert desk.store.status(job_id) == before


def test_cancel_and_stop_are_deaf_to_strangers(desk: Desk) -> None:
    mine, other = desk.session(None), desk.session(None)
    job_id = desk.store.submit(VIDEO, mine)
    for end in (desk.cancel, desk.stop):
        with pytest.raises(RequestError, match=NOT_YOURS):
            end(job_id, other)
    assert desk.store.status(job_id).state == "queued"
    desk.stop(job_id, mine)
    assert desk.store.status(job_id).state == "stopped"


def test_a_finished_video_is_built_on_under_its_own_id_with_settings_of_the_mesh_only(
    desk: Desk,
) -> None:
    key = desk.session(None)
    job_id = desk.store.submit(VIDEO, key)
    with pytest.raises(RequestError, match="no finished video"):
        desk.build(job_id, key)
    run_next(desk)
    with pytest.raises(RequestError, match="seed cannot change"):
        desk.build(job_id, key, seed=5)
    desk.build(job_id, key, texture_size=2048, distil=False)
    job = desk.job(job_id, key)
    assert (job.state, job.request.video_only, job.request.texture_size) == ("queued", False, 2048)


def test_retry_is_a_new_job_with_the_same_wish(desk: Desk) -> None:
    key = desk.session(None)
    first = desk.store.submit(VIDEO, key)
    again, other_seed = desk.retry(first, key), desk.retry(first, key, seed=9)
    assert desk.job(again, key).request == VIDEO
    assert desk.job(other_seed, key).request.seed == 9
    assert len({first, again, other_seed}) == 3


def test_retry_takes_the_upload_along(desk: Desk, tmp_path: Path) -> None:
    key, upload = desk.session(None), tmp_path / "a.webp"
    upload.write_bytes(b"frames")
    wish = GenerationRequest(prompt="count 1", clip=hashlib.sha256(b"frames").hexdigest())
    again = desk.job(desk.retry(desk.submit(wish, key, upload), key), key)
    assert (desk.store.folder(again) / CLIP_NAME).read_bytes() == b"frames"


def test_retry_without_the_upload_says_what_is_gone(desk: Desk, tmp_path: Path) -> None:
    key, upload = desk.session(None), tmp_path / "a.webp"
    upload.write_bytes(b"frames")
    job = desk.submit(GenerationRequest(prompt="a mug", clip="0" * 64), key, upload)
    (desk.store.folder(desk.job(job, key)) / CLIP_NAME).unlink()
    with pytest.raises(RequestError, match="is gone; hand it in again"):
        desk.retry(job, key)
    assert len(desk.store.queue()) == 1


def test_a_share_shows_the_results_until_it_is_withdrawn(desk: Desk) -> None:
    key = desk.session(None)
    job_id = desk.store.submit(VIDEO, key)
    run_next(desk)
    token = desk.share(job_id, key)
    shared = desk.shared(token)
    assert shared is not None
    copy = desk.results(shared)["orbit.mp4"]
    desk.unshare(job_id, key)
    assert desk.shared(token) is None
    assert not copy.exists()
    assert "orbit.mp4" in desk.results(desk.job(job_id, key))


def test_what_is_served_of_a_video_is_how_it_is_at_last_and_the_first_can_be_had_too(
    desk: Desk,
) -> None:
    key = desk.session(None)
    job_id = desk.store.submit(VIDEO, key)
    run_next(desk)
    job = desk.job(job_id, key)
    path, first = desk.store.folder(job), desk.results(job)["orbit.mp4"].read_bytes()
    with RunFolder.create(path) as folder, folder.stage("redraw") as temporary:
        (temporary / REDRAWN_NAME).mkdir()
        (temporary / REDRAWN_NAME / "orbit.mp4").write_bytes(b"drawn again")
    assert desk.results(job)["orbit.mp4"].read_bytes() == b"drawn again"
    made = {name: find_format(name) for name in ("mp4", "first-mp4")}
    files = {name: known.make(path) for name, known in made.items() if known is not None}
    assert files == {"mp4": b"drawn again", "first-mp4": first}


def test_deleting_takes_the_served_copies_along(desk: Desk) -> None:
    key = desk.session(None)
    job_id = desk.store.submit(VIDEO, key)
    run_next(desk)
    copy = desk.results(desk.job(job_id, key))["orbit.mp4"]
    desk.delete(job_id, key)
    assert not copy.exists()
    assert desk.jobs(key) == []


def test_the_wait_grows_with_what_is_ahead_and_shrinks_with_workers(desk: Desk) -> None:
    key = desk.session(None)
    assert desk.standing().wait_seconds == 0.0
    jobs = [desk.store.status(desk.store.submit(VIDEO, key)) for _ in range(4)]
    waits = [desk.standing(job).wait_seconds for job in jobs]
    assert waits == sorted(set(waits))
    assert desk.standing().wait_seconds > waits[-1]
    assert (desk.standing().num_waiting, desk.standing().num_running) == (4, 0)
    for worker in ("one", "two"):
        desk.store.beat(worker)
    assert desk.standing().wait_seconds == pytest.approx((waits[-1] + waits[1]) / 2)


def test_a_store_that_cannot_be_written_is_told_in_words(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.jobs.database.LOCK_SECONDS", 0.05)
    holder = sqlite3.connect(desk.store.root / FILE_NAME, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(RequestError, match="try again"):
        desk.submit(VIDEO, desk.session(None))
    holder.execute("ROLLBACK")
    holder.close()
    desk.close()
