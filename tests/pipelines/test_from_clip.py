"""A visitor's own clip through the chain: as a job, with its cameras found and no paths told."""

import hashlib
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import torch

from pipelines.from_clip import generate_from_clip
from pipelines.jobs.chain import ModelChain
from pipelines.jobs.store import JobStore, new_session
from pipelines.jobs.worker import run_job
from pipelines.provenance import read_provenance
from pipelines.request import GenerationRequest
from tests.threed.test_source import write_turntable
from threed.orbit_files import read_orbit
from threed.progress import Progress
from threed.report import Report
from threed.run_folder import RunFolder
from threed.video_io import write_mp4


def request_of(clip: Path) -> GenerationRequest:
    return GenerationRequest(
        prompt="my mug",
        clip=hashlib.sha256(clip.read_bytes()).hexdigest(),
        clip_elevation_deg=15.0,
        size=48,
        video_only=True,
    )


def run(store: JobStore, clip: Path) -> str:
    job_id = store.submit(request_of(clip), new_session(), source=clip)
    job = store.claim()
    assert job is not None
    run_job(store, job, ModelChain())
    return job_id


def test_a_clip_becomes_an_orbit_with_cameras_and_its_provenance(tmp_path: Path) -> None:
    write_turntable(tmp_path / "mug.webp")
    store = JobStore(tmp_path / "runs")
    job = store.status(run(store, tmp_path / "mug.webp"))
    assert (job.state, job.message.split(",")[0]) == ("done", "")
    folder = RunFolder(store.folder(job))
    orbit = read_orbit(folder.path)
    assert orbit.num_frames == 16
    assert orbit.normals is None
    told = read_provenance(folder.file("orbit.mp4"))
    assert told.request == job.request
    assert "model" not in told.made_with


def test_a_clip_of_nothing_that_turns_is_refused_without_saying_where_it_lies(
    tmp_path: Path,
) -> None:
    still = torch.zeros(12, 64, 64, 3, dtype=torch.uint8).numpy()
    write_mp4(tmp_path / "still.mp4", still)
    store = JobStore(tmp_path / "runs")
    job = store.status(run(store, tmp_path / "still.mp4"))
    assert job.state == "failed"
    assert "/" not in job.message
    assert "logged" not in job.message


def test_a_clip_that_was_read_is_not_read_again(tmp_path: Path) -> None:
    write_turntable(tmp_path / "mug.webp")
    request = request_of(tmp_path / "mug.webp")
    with RunFolder.create(tmp_path / "run") as folder:
        (tmp_path / "mug.webp").rename(folder.file("source"))
        list(generate_from_clip(request, folder))
        folder.file("source").unlink()
        records = list(generate_from_clip(request, folder))
    assert [record.step for record in records] == [0]


class Cancelled(ModelChain):
    """Its visitor cancels the job when the search for cameras has told of itself so many times."""

    def __init__(self, store: JobStore, num_told: int) -> None:
        super().__init__()
        self.store, self.num_told = store, num_told
        self.told: list[Progress] = []

    def run(
        self, request: GenerationRequest, folder: RunFolder
    ) -> Generator[Progress, None, Report | None]:
        steps = super().run(request, folder)
        try:
            for progress in steps:
                if progress.message.startswith("looking for the cameras"):
                    self.told.append(progress)
                if len(self.told) == self.num_told:
                    self.store.cancel(folder.path.name)
                yield progress
        finally:
            steps.close()
        return None


def test_a_job_that_is_cancelled_while_cameras_are_sought_ends_at_the_next_step(
    tmp_path: Path,
) -> None:
    write_turntable(tmp_path / "mug.webp")
    store = JobStore(tmp_path / "runs")
    request = replace(request_of(tmp_path / "mug.webp"), clip_elevation_deg=None)
    job_id = store.submit(request, new_session(), source=tmp_path / "mug.webp")
    job = store.claim()
    assert job is not None and store.folder(job).name == job_id
    chain = Cancelled(store, num_told=4)
    run_job(store, job, chain)
    ended = store.status(job_id)
    assert ended.state == "cancelled" and len(chain.told) == 4
    assert 0 < chain.told[-1].step < chain.told[-1].num_steps
    assert not RunFolder(store.folder(ended)).done("orbit")
