"""The whole chain, from words to a textured mesh, as one generator of Progress records."""

import hashlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.closed import video_findings, why_closed
from pipelines.errors import InstallationError, ReconstructionError, RequestError
from pipelines.models.catalogue import load_model, no_moves, no_pictures, redraws
from pipelines.models.limits import check_limits
from pipelines.models.protocol import Abilities, VideoModel
from pipelines.picture import forget_picture, keep_picture, request_picture
from pipelines.provenance import as_comment
from pipelines.redraw import redraw
from pipelines.request import MADE_WITH, ORBITS, PICTURE_NAME, GenerationRequest
from pipelines.run_request import check_folder, holds_another, write_request
from threed.distillation import Denoise, DistillationConfig
from threed.field import Field
from threed.fit import FitConfig
from threed.losses import DRAWN
from threed.orbit import OrbitVideo, display_pixels
from threed.orbit_files import read_orbit, write_orbit
from threed.progress import EarlyStop, Progress
from threed.reconstruct import ReconstructionSettings, reconstruct
from threed.report import Report
from threed.run_folder import RunFolder

NUM_NEAREST = 3
DENOISE_STEPS = 4
"""Passes from the noise of distillation back to a clean clip."""
LIGHT_DISTILLATION = DistillationConfig(num_rounds=3, steps_a_round=24, noise=(0.5, 0.2))
"""For a model that must see in the clip where its cameras are, or how much is object, which heavy
noise would hide."""


def generate(
    request: GenerationRequest,
    folder: RunFolder,
    model: VideoModel | None = None,
    device: torch.device | str = "cpu",
    overwrite: bool = False,
    picture: Path | None = None,
) -> Generator[Progress, None, Report | None]:
    """Yield the progress of a request and return the report; None where only a video was asked.

    A folder in which the same request was begun is gone on with from its last whole stage, and the
    result is the same as if it had never been interrupted.

    Args:
        request: What to make.
        folder: Receives the files, a stage at a time.
        model: The request's video model where it is loaded already.
        device: Where to load the model and to fit the field.
        overwrite: Replace another request's run in the folder, once nothing more can be refused.
        picture: The request's picture where it does not lie in the folder yet; it is copied there.

    Raises:
        RequestError: The model cannot do what is asked, or the folder holds another request.
        InstallationError: The model's weights are missing or damaged.
        ReconstructionError: The video is no orbit, or yields no surface.
        EarlyStop: It was thrown in; a video that was being drawn is kept as it was by then.
    """
    replacing = overwrite and holds_another(request, folder)
    try:
        if not replacing:
            check_folder(request, folder)
            if folder.done("orbit"):
                if request.video_only:
                    return None
                _check_orbit(folder)
            if folder.done("report"):
                return Report.from_json(folder.file("report.json").read_text("utf-8"))
        seen: Tensor | None = None
        place = folder.file(PICTURE_NAME)
        if request.picture is not None and (replacing or not folder.done("orbit")):
            seen = request_picture(request, picture or place)
        if model is None:
            model = load_model(request.model, device, request.revision)
        check_abilities(request, model.abilities)
        provenance = write_request(request, folder, replacing)
        if seen is not None:
            keep_picture(seen, picture or place, folder)
        elif replacing:
            forget_picture(folder)
    except (RequestError, InstallationError):
        # Nothing was done, so nothing shall be left behind.
        folder.remove_if_empty()
        raise
    drawn_as = model.drawn_as(request)
    if request.picture is None:
        words = familiarity_message(request.prompt, drawn_as, model)
    else:
        words = picture_message(request.prompt, model)
    yield _video_progress(0, 1, words)
    if folder.done("orbit"):
        provenance = _with_findings(provenance, video_findings(folder.path))
    else:
        orbit, early = yield from _sample(request, model, seen)
        # What a large model made of the prompt, and how well its frames agree.
        findings = getattr(model, "findings", None) or {}
        if drawn_as is not None:
            findings = {**findings, "prompt": drawn_as}
        provenance = _with_findings(provenance, findings)
        with folder.stage("orbit") as temporary:
            write_orbit(temporary, orbit, as_comment(provenance))
        if early is not None:
            raise early
    if request.video_only:
        return None
    _check_orbit(folder)
    # Read back even when it is at hand: the files are rounded to eight bits, and a run that was
    # interrupted here would go on from those.
    orbit = read_orbit(folder.path).to(device)
    settings = ReconstructionSettings(
        max_faces=request.max_faces,
        texture_size=request.texture_size,
        max_mb=request.max_mb,
        fit=FitConfig(loss=DRAWN),
        # Views that a picture does not show would be refined by words that may be a file's name.
        distil=request.distil and request.picture is None,
        distillation=distillation_for(model.abilities),
        provenance=provenance,
        comment=as_comment(provenance),
    )
    generator = stage_generator(request.seed, "reconstruction")
    critic = critic_of(request, model)

    def draw_again(orbit: OrbitVideo, field: Field) -> OrbitVideo:
        return redraw(orbit, field, critic, stage_generator(request.seed, "redraw"))

    again = draw_again if redraws(request) else None
    return (yield from reconstruct(orbit, folder, settings, critic, generator, again))


def _with_findings(provenance: dict[str, Any], findings: dict[str, Any]) -> dict[str, Any]:
    """Return what a run is made with, and what its model said of the video where it did."""
    if not findings:
        return provenance
    return {**provenance, MADE_WITH: {**provenance[MADE_WITH], "video": findings}}


def critic_of(request: GenerationRequest, model: VideoModel) -> Denoise:
    """Return the model as one who draws a noised clip anew, with the request in mind."""

    def denoise(clip: OrbitVideo, sigma: float, generator: torch.Generator) -> OrbitVideo:
        return model.denoise(clip, sigma, request, generator, num_steps=DENOISE_STEPS)

    return denoise


def stage_generator(seed: int, stage: str) -> torch.Generator:
    """Return a CPU generator that depends on the request's seed and the stage's name alone.

    So a stage draws the same numbers whether or not the stages before it ran in this process.
    """
    digest = hashlib.sha256(f"{stage} {seed}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def check_abilities(request: GenerationRequest, abilities: Abilities) -> None:
    """Raise RequestError where a model cannot make what is asked for."""
    if not abilities.text:
        raise RequestError(f"model is {request.model!r}, which takes no words")
    if request.picture is not None and not abilities.image:
        raise no_pictures(request.model)
    if request.camera not in ORBITS and not abilities.moves:
        raise no_moves(request)
    check_limits(request, max_frames=abilities.max_frames, sizes=abilities.sizes)


def _check_orbit(folder: RunFolder) -> None:
    """Raise ReconstructionError where the folder's video is none of which a mesh can be made."""
    if (closed := why_closed(folder.path)) is not None:
        raise ReconstructionError(closed.words())


def distillation_for(abilities: Abilities) -> DistillationConfig:
    """Return how a model is asked for views that its orbit did not show."""
    if abilities.cameras and abilities.alpha:
        return DistillationConfig()
    return LIGHT_DISTILLATION


def familiarity_message(prompt: str, drawn_as: str | None, model: VideoModel) -> str:
    """Return what the model knows near a prompt and what that is drawn as; a warning where far."""
    names = ", ".join(known.name for known in model.nearest_known(prompt, NUM_NEAREST))
    if not names:
        return "what this model has seen is not known by name"
    drawn = f"drawn as {drawn_as!r}; " if drawn_as else ""
    if model.familiar(prompt):
        return f"{drawn}nearest known things: {names}"
    drawn = f" It is drawn as {drawn_as!r}." if drawn_as else ""
    return (
        f"Warning: {prompt!r} is far from everything that this model knows, so the result may not "
        f"look like it.{drawn} The nearest things it knows: {names}."
    )


def picture_message(prompt: str, model: VideoModel) -> str:
    """Return a sentence on what is made of the words beside a picture."""
    if model.familiar(prompt):
        return f"drawing what the picture shows, helped by the words {prompt!r}"
    return f"drawing what the picture shows; the words {prompt!r} are no help to this model"


def _sample(
    request: GenerationRequest, model: VideoModel, picture: Tensor | None
) -> Generator[Progress, None, tuple[OrbitVideo, EarlyStop | None]]:
    """Return the video; with an early stop, as the model guesses it by then, and the stop."""
    chance = stage_generator(request.seed, "video")
    # Models that take no picture need not know that there are any.
    steps = (
        model.sample(request, chance) if picture is None else model.sample(request, chance, picture)
    )
    try:
        while True:
            try:
                done = next(steps)
            except StopIteration as finished:
                return finished.value, None
            what = "orbit" if done.preview.kind == "orbit" else "video"
            message = done.doing or f"drawing the {what}, step {done.step} of {done.num_steps}"
            preview = None if done.doing else display_pixels(done.preview)
            try:
                yield _video_progress(done.step, done.num_steps, message, preview)
            except EarlyStop as early:
                return done.preview if done.so_far is None else done.so_far, early
    finally:
        steps.close()


def _video_progress(
    step: int, num_steps: int, message: str, preview: np.ndarray | None = None
) -> Progress:
    return Progress(stage="video", step=step, num_steps=num_steps, message=message, preview=preview)
