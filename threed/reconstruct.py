"""The 3D stage's chain: orbit video, field, distillation, redraw, mesh, texture, report."""

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from threed.cameras import Cameras
from threed.distillation import Denoise, DistillationConfig, distil, read_taught, write_taught
from threed.errors import RequestError
from threed.field import Field
from threed.file_size import check_megabytes
from threed.findings import compare_view, find
from threed.fit import FitConfig, FitStep, fit
from threed.mesh import MIN_FACES, MeshConfig, extract_mesh, resolution_for
from threed.orbit import OrbitVideo, display_pixels
from threed.orbit_files import read_orbit, write_orbit
from threed.preview import turntable, write_webp
from threed.progress import Progress, Result, Stage
from threed.report import Report
from threed.report_picture import png_of, report_sheet
from threed.run_folder import REDRAWN_NAME, RunFolder
from threed.size_budget import glb_within, unwrap_within
from threed.texture import bake
from threed.textured_mesh import read_own_glb

TEXTURE_RANGE = (128, 8192)
TAUGHT_NAME = "taught.safetensors"
# Steps that bring nothing to see are passed on this often, in seconds.
PULSE = 0.5

Redraw = Callable[[OrbitVideo, Field], OrbitVideo]
"""Draws an orbit again by what the field that was fitted to it shows."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionSettings:
    """How an orbit video becomes a mesh."""

    max_faces: int = 20_000
    """Triangles that the mesh may have."""
    texture_size: int = 1024
    """Texels along a side of the texture."""
    max_mb: float | None = None
    """Megabytes (10^6 bytes) that mesh.glb may have: encoding and size of the texture, then
    triangles give way; None is no limit."""
    distil: bool = True
    """Whether the video model, where there is one, refines the field."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How the field is fitted; its `up` holds for the preview too."""
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    provenance: dict[str, object] = field(default_factory=dict)
    """JSON values for the GLB's `asset.extras`, such as prompt and seed."""
    comment: str = ""
    """Of the film of a video that is drawn again."""

    def __post_init__(self) -> None:
        if self.max_faces < MIN_FACES:
            raise ValueError(f"max_faces is {self.max_faces}; at least {MIN_FACES}")
        low, high = TEXTURE_RANGE
        if not low <= self.texture_size <= high:
            raise ValueError(f"texture_size is {self.texture_size}; allowed are {low} to {high}")
        check_megabytes(self.max_mb)


def reconstruct(
    orbit: OrbitVideo,
    folder: RunFolder,
    settings: ReconstructionSettings,
    denoise: Denoise | None,
    generator: torch.Generator,
    redraw: Redraw | None = None,
) -> Generator[Progress, None, Report]:
    """Yield progress about every second and return the report; finished stages are not run again.

    Args:
        orbit: The views; the field is fitted on their device.
        folder: Receives field.safetensors, the redrawn video, mesh.glb, preview.webp and the
            report.
        settings: Sizes and the parts' own settings.
        denoise: The video model as a critic (see `threed.distillation`); None leaves that out.
        generator: All chance of the fit and the distillation.
        redraw: Draws the video again once there is a shape, whose texture is then of the new
            frames; None leaves the video as it is.

    Raises:
        RequestError: The video is a clip, not an orbit.
        ReconstructionError: The views yield no surface.
    """
    if orbit.kind == "clip":
        raise RequestError(
            "the video is of the kind 'clip', which no rigid object explains; a mesh needs an "
            "'orbit', one turn about an object that stands still"
        )
    if folder.done("report") and folder.done("mesh"):
        return Report.from_json(folder.file("report.json").read_text("utf-8"))
    seconds: dict[str, float] = {}
    fitted, taught = yield from _field(orbit, folder, settings, denoise, generator, seconds)
    drawn = yield from _redrawn(orbit, fitted, folder, settings, redraw, seconds)
    yield from _mesh(drawn, fitted, taught, folder, settings, seconds)
    yield _progress("report", 0, 1, "comparing the views with the mesh")
    with _timed("report", seconds):
        mesh = read_own_glb(folder.file("mesh.glb"))
        # By the first drawing: what is drawn by the field's pictures agrees with it everywhere.
        report = find(orbit, drawn, fitted, folder.file("mesh.glb"), settings.fit.up)
        worst, best = (
            compare_view(orbit, mesh, view)
            for view in (report.worst_view, report.psnr.index(max(report.psnr)))
        )
    report = replace(report, seconds=seconds)
    with folder.stage("report") as temporary:
        (temporary / "report.json").write_text(report.to_json(), "utf-8")
        for name, picture in (
            ("report.png", report_sheet(report, worst, best)),
            ("worst_view.png", worst),
            ("best_view.png", best),
        ):
            (temporary / name).write_bytes(png_of(picture))
    yield _progress("report", 1, 1, "done")
    return report


class _timed:
    """Add the wall time of a block to a table; a block may be entered once for each part."""

    def __init__(self, stage: Stage, seconds: dict[str, float]) -> None:
        self.stage, self.seconds = stage, seconds

    def __enter__(self) -> None:
        self.start = time.monotonic()

    def __exit__(self, *_: object) -> None:
        spent = time.monotonic() - self.start
        self.seconds[self.stage] = round(self.seconds.get(self.stage, 0.0) + spent, 3)


def _field(
    orbit: OrbitVideo,
    folder: RunFolder,
    settings: ReconstructionSettings,
    denoise: Denoise | None,
    generator: torch.Generator,
    seconds: dict[str, float],
) -> Generator[Progress, None, tuple[Field, tuple[Cameras, ...]]]:
    """Return the field, and the cameras of orbits that a model taught it."""
    device = orbit.albedo.device
    if folder.done("field"):
        field = Field.load(folder.file("field.safetensors")).to(device)
        path = folder.file(TAUGHT_NAME)
        taught = read_taught(path) if path.exists() else ()
        return field, tuple(cameras.to(device) for cameras in taught)
    yield _progress("field", 0, settings.fit.num_steps, "carving the shape from the outlines")
    with _timed("field", seconds):
        steps = fit(orbit, settings.fit, generator)
        fitted = yield from _passed_on("field", "fitting shape and colour", steps)
    taught: tuple[Cameras, ...] = ()
    if denoise is not None and settings.distil:
        # Said before the model draws, which takes longer than what is learnt from it.
        num_steps = settings.distillation.num_rounds * settings.distillation.steps_a_round
        yield _progress("distillation", 0, num_steps, "drawing sides that no view has shown")
        with _timed("distillation", seconds):
            steps = distil(fitted, orbit, denoise, settings.distillation, generator)
            distilled = yield from _passed_on("distillation", "refining unseen sides", steps)
            fitted, taught = distilled.field, distilled.taught
    with folder.stage("field") as temporary:
        fitted.save(temporary / "field.safetensors")
        if taught:
            write_taught(temporary / TAUGHT_NAME, taught)
    return fitted, taught


def _passed_on(
    stage: Stage, message: str, steps: Generator[FitStep, None, Result]
) -> Generator[Progress, None, Result]:
    """Yield the steps that show something or come after a pause; return what the steps return."""
    last = -float("inf")
    try:
        while True:
            try:
                step = next(steps)
            except StopIteration as finished:
                return finished.value
            now = time.monotonic()
            if step.preview is None and now - last < PULSE and step.step < step.num_steps:
                continue
            last = now
            preview = None if step.preview is None else step.preview[None]
            yield _progress(stage, step.step, step.num_steps, message, preview)
    finally:
        steps.close()


def _redrawn(
    orbit: OrbitVideo,
    fitted: Field,
    folder: RunFolder,
    settings: ReconstructionSettings,
    redraw: Redraw | None,
    seconds: dict[str, float],
) -> Generator[Progress, None, OrbitVideo]:
    """Return the orbit of which the texture is: drawn again, where there is one who draws."""
    if redraw is None:
        if not folder.done("mesh"):
            # Of an attempt with other settings.
            folder.discard("redraw")
        return orbit
    if not folder.done("redraw"):
        yield _progress("redraw", 0, 1, "drawing the video again, by what all its views agree on")
        with _timed("redraw", seconds), folder.stage("redraw") as temporary:
            drawn = redraw(orbit, fitted)
            (temporary / REDRAWN_NAME).mkdir()
            write_orbit(temporary / REDRAWN_NAME, drawn, settings.comment)
        yield _progress("redraw", 1, 1, "drew the video again", display_pixels(drawn))
    # Read back even when it is at hand, as an interrupted run would: it is rounded to eight bits.
    return read_orbit(folder.file(REDRAWN_NAME)).to(orbit.albedo.device)


def _mesh(
    orbit: OrbitVideo,
    fitted: Field,
    taught: tuple[Cameras, ...],
    folder: RunFolder,
    settings: ReconstructionSettings,
    seconds: dict[str, float],
) -> Generator[Progress, None, None]:
    if folder.done("mesh"):
        return
    light_baked = orbit.normals is None
    yield _progress("mesh", 0, 2, "taking the surface")
    with _timed("mesh", seconds):
        resolution = resolution_for(settings.max_faces)
        config = MeshConfig(max_faces=settings.max_faces, resolution=resolution)
        mesh = extract_mesh(fitted, config)
    yield _progress("mesh", 1, 2, f"unwrapping {len(mesh.faces):,} faces")
    with _timed("mesh", seconds):
        unwrapped = unwrap_within(mesh, settings.max_mb)
    yield _progress("texture", 0, 3, "baking the texture")
    with _timed("texture", seconds):
        textured, data = glb_within(
            lambda size: bake(unwrapped, fitted, orbit, size, taught),
            settings.texture_size,
            len(mesh.faces),
            settings.max_mb,
            unlit=light_baked,
            extras=settings.provenance,
            up=settings.fit.up,
        )
    yield _progress("texture", 1, 3, "turning the mesh before the camera")
    with _timed("texture", seconds):
        frames = turntable(textured, up=settings.fit.up, unlit=light_baked)
    yield _progress("texture", 2, 3, "writing the files", frames)
    with _timed("texture", seconds), folder.stage("mesh") as temporary:
        (temporary / "mesh.glb").write_bytes(data)
        write_webp(frames, temporary / "preview.webp")
    yield _progress("texture", 3, 3, "the mesh is written")


def _progress(
    stage: Stage, step: int, num_steps: int, message: str, preview: np.ndarray | None = None
) -> Progress:
    return Progress(stage=stage, step=step, num_steps=num_steps, message=message, preview=preview)
