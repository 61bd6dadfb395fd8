"""Drawing a video again: who may, of what, and what the new job starts with."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.errors import RequestError
from pipelines.jobs.store import JobStore
from pipelines.jobs.supervisor import Supervisor
from pipelines.request import DRAFT_NAME, GenerationRequest
from threed.report import Report
from threed.run_folder import RunFolder
from ui.desk import NOT_YOURS, Desk
from ui.redraws import redraw, redraw_button

CHAIR = GenerationRequest(prompt="a chair")
AGREES, WEAK = [30.0] * 8, [30.0] * 6 + [15.0, 14.0]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    store = JobStore(tmp_path / "runs")
    # A worker that never comes: nothing is to be made here.
    return Desk(store, Supervisor(store, (sys.executable, "-c", "input()")), tmp_path / "served")


def report_of(psnr: list[float]) -> Report:
    return Report(
        psnr=psnr,
        mean_psnr=sum(psnr) / len(psnr),
        worst_view=psnr.index(min(psnr)),
        mesh_psnr=25.0,
        watertight=True,
        num_faces=4,
        num_vertices=4,
        texture_size=512,
        glb_bytes=1000,
        light_baked=False,
        seconds={},
        verdict="fine",
    )


def finished(
    desk: Desk, key: str, psnr: list[float], request: GenerationRequest = CHAIR, clip: bytes = b""
) -> str:
    """Return a visitor's job that is done and has that report."""
    source = desk.store.root / "clip"
    source.write_bytes(clip)
    job_id = desk.store.submit(request, key, source if clip else None)
    job = desk.store.claim()
    assert job is not None
    with RunFolder.create(desk.store.folder(job)) as folder, folder.stage("report") as temporary:
        (temporary / "report.json").write_text(report_of(psnr).to_json())
    desk.store.finish(job_id, "done", lease=job.lease)
    return job_id


def test_a_new_job_starts_with_a_copy_of_the_finished_run_which_stays(desk: Desk) -> None:
    key = desk.session(None)
    first = finished(desk, key, WEAK)
    second = redraw(desk, first, key)
    old, new = desk.job(first, key), desk.job(second, key)
    assert (old.state, new.state) == ("done", "queued")
    assert new.request == replace(CHAIR, redraws=1)
    draft = RunFolder(desk.store.folder(new) / DRAFT_NAME)
    assert draft.done("report")
    assert RunFolder(desk.store.folder(old)).done("report")
    desk.delete(first, key)
    assert draft.done("report")


def test_a_job_that_cannot_be_queued_leaves_no_files(desk: Desk) -> None:
    key = desk.session(None)
    first = finished(desk, key, WEAK)
    folder = desk.store.folder(desk.job(first, key))
    # Stands for whatever keeps a copy from being whole, such as a full disk.
    (folder / "gone").symlink_to(folder / "nowhere")
    with pytest.raises(RequestError, match="nothing was lost"):
        redraw(desk, first, key)
    assert [job.id for job in desk.jobs(key)] == [first]
    assert list(folder.parent.iterdir()) == [folder]


def test_nothing_is_drawn_again_that_cannot_be(desk: Desk) -> None:
    key, other = desk.session(None), desk.session(None)
    weak, fine = finished(desk, key, WEAK), finished(desk, key, AGREES)
    clip = b"a clip"
    filmed = GenerationRequest(prompt="my mug", clip=hashlib.sha256(clip).hexdigest())
    mug = finished(desk, key, WEAK, filmed, clip)
    often = finished(desk, key, WEAK, replace(CHAIR, redraws=8))
    waiting = desk.store.submit(CHAIR, key)
    for job_id, whose, words in (
        (weak, other, NOT_YOURS),
        (waiting, key, "no finished mesh"),
        (mug, key, "was filmed"),
        (often, key, "redraws is 9"),
    ):
        with pytest.raises(RequestError, match=words):
            redraw(desk, job_id, whose)
    assert len(desk.jobs(key)) == 5
    # The button stands exactly where a press would do something.
    shown = {
        job_id: bool(redraw_button(desk.job(job_id, key), {}, "en"))
        for job_id in (weak, fine, mug, often)
    }
    assert shown == {weak: True, fine: True, mug: False, often: False}
