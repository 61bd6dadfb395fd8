"""From a job's video to its mesh: what may still be chosen, and what the machine can hold."""

from dataclasses import replace

import pytest

from pipelines.errors import RequestError
from pipelines.jobs.worker import run_job
from pipelines.request import GenerationRequest
from pipelines.run_request import check_folder
from tests.pipelines.clockwork import Clockwork
from threed.run_folder import RunFolder
from ui.desk import Desk

VIDEO = GenerationRequest(prompt="count 2", video_only=True)


def filmed(desk: Desk, session: str) -> str:
    job_id = desk.store.submit(VIDEO, session)
    claimed = desk.store.claim()
    assert claimed is not None
    run_job(desk.store, claimed, Clockwork())
    return job_id


def test_a_mesh_that_the_machine_cannot_hold_is_refused_when_it_is_asked_for(desk: Desk) -> None:
    session = desk.session(None)
    job_id = filmed(desk, session)
    desk.memory_bytes = 4.0 * 2**30
    with pytest.raises(RequestError, match=r"needs about .* GiB of memory.* 4\.0.*would fit"):
        desk.build(job_id, session, texture_size=4096)
    assert desk.job(job_id, session).state == "done"
    desk.build(job_id, session, texture_size=1024)
    assert desk.job(job_id, session).state == "queued"


def test_what_a_finished_stage_was_made_with_stands(desk: Desk) -> None:
    session = desk.session(None)
    job_id = filmed(desk, session)
    # The field was made and then the job was stopped.
    with RunFolder.create(desk.store.folder(desk.job(job_id, session))) as folder:
        with folder.stage("request") as temporary:
            made = replace(VIDEO, video_only=False, distil=False)
            (temporary / "request.json").write_text(made.to_json())
        with folder.stage("orbit") as temporary:
            (temporary / "orbit.mp4").write_bytes(b"frames")
        with folder.stage("field") as temporary:
            (temporary / "field.safetensors").write_bytes(b"field")
    with desk.store.writing() as database:
        database.execute("UPDATE jobs SET request = ?", (made.to_json(),))
    desk.build(job_id, session, distil=True, texture_size=2048)
    asked = desk.job(job_id, session).request
    assert (asked.distil, asked.texture_size, asked.video_only) == (False, 2048, False)
    check_folder(asked, folder)
