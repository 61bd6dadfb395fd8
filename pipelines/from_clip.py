"""The chain without its first half: a visitor's own clip, from the run folder, to a mesh."""

from collections.abc import Generator

import torch

from pipelines.errors import RequestError
from pipelines.generate import stage_generator
from pipelines.provenance import as_comment
from pipelines.request import CLIP_NAME, GenerationRequest
from pipelines.run_request import check_folder, write_request
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit, write_orbit
from threed.poses import PoseConfig
from threed.progress import Progress
from threed.reconstruct import ReconstructionSettings, reconstruct
from threed.report import Report
from threed.run_folder import RunFolder
from threed.source import SourceConfig, source_steps

CLIP_SIZE = 128
"""Longer side of the frames that the 3D stage sees, pixels, where none is asked for."""


def generate_from_clip(
    request: GenerationRequest, folder: RunFolder, device: torch.device | str = "cpu"
) -> Generator[Progress, None, Report | None]:
    """Yield the progress of a run on the folder's clip and return the report, as `generate` does.

    Raises:
        RequestError: The clip is no turn about an object, or the folder holds another request.
        ReconstructionError: The views yield no surface.
    """
    check_folder(request, folder)
    if folder.done("report"):
        return Report.from_json(folder.file("report.json").read_text("utf-8"))
    provenance = write_request(request, folder)
    yield _reading(0, "reading the clip and finding its cameras")
    if not folder.done("orbit"):
        orbit, notes = yield from _read(request, folder)
        with folder.stage("orbit") as temporary:
            write_orbit(temporary, orbit, as_comment(provenance))
        yield _reading(1, "; ".join(notes))
    if request.video_only:
        return None
    orbit = read_orbit(folder.path).to(device)
    settings = ReconstructionSettings(
        max_faces=request.max_faces,
        texture_size=request.texture_size,
        max_mb=request.max_mb,
        provenance=provenance,
    )
    generator = stage_generator(request.seed, "reconstruction")
    return (yield from reconstruct(orbit, folder, settings, None, generator))


def _read(
    request: GenerationRequest, folder: RunFolder
) -> Generator[Progress, None, tuple[OrbitVideo, tuple[str, ...]]]:
    path = folder.file(CLIP_NAME)
    poses = PoseConfig(elevation_deg=request.clip_elevation_deg, fov_deg=request.clip_fov_deg)
    try:
        config = SourceConfig(size=request.size or CLIP_SIZE, poses=poses)
        source = yield from source_steps(path, config)
    except RequestError as error:
        # Where it lies is no visitor's business.
        words = str(error).replace(f"{path}: ", "").replace(str(path), "the clip")
        raise RequestError(words) from error
    return source.orbit, source.notes


def _reading(step: int, message: str) -> Progress:
    return Progress(stage="video", step=step, num_steps=1, message=message)
