"""A large open model behind `VideoModel`: diffusers' networks, this program's sampler and cameras.

The text encoder, the transformer and the decoder work one after another, so that a machine need
hold only one of them on its GPU. A model that knows no cameras draws several clips, of which the
one whose frames agree best as a turn about one object is kept.
"""

from collections.abc import Generator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.models.architectures.base import Architecture, ClipShape, Control, Texts
from pipelines.models.choice import next_best
from pipelines.models.helpers import draw_picture, enlarge_wish
from pipelines.models.large import find_helper
from pipelines.models.large_card import LargeModelCard
from pipelines.models.loading import load_architecture
from pipelines.models.machine import Machine, machine_of
from pipelines.models.memory import Mode, best_plan, why_not
from pipelines.models.on_disk import Snapshot, require_whole
from pipelines.models.projection import Projection, fit_projection, preview_clip
from pipelines.models.protocol import Abilities, KnownName, SamplerStep
from pipelines.models.recaption import NEGATIVE, picture_prompt, turntable_prompt
from pipelines.models.speed import apply_speed, forget, speed_from_environment
from pipelines.models.turntable import (
    Candidate,
    followed_orbit,
    found_after,
    framed,
    matted,
    on_canvas,
    over_grey,
    square,
    to_canvas,
    turn_cameras,
    with_coverage_of,
)
from pipelines.request import RECAPTIONS, GenerationRequest
from pipelines.video.diffusion import add_noise, guide
from pipelines.video.samplers import FlowStep, Velocity, sample_euler
from threed.orbit import OrbitVideo

PICTURE_SIDE = 1024


def load_large_model(
    card: LargeModelCard,
    device: torch.device | str,
    revision: str | None = None,
    machine: Machine | None = None,
) -> "DiffusersVideoModel":
    """Return a model of the catalogue, run in the fastest way that fits its device now.

    Raises:
        RequestError: The machine is too small; names what to choose instead.
        InstallationError: The model is not whole on disk, or cannot be loaded.
    """
    machine = machine or machine_of(device)
    plan = best_plan(card, machine)
    if plan is None or torch.device(device).type != "cuda":
        without_gpu = replace(machine, gpus=()) if plan is not None else machine
        raise why_not(card, without_gpu, next_best(card, without_gpu))
    return open_model(card, require_whole(card, revision), plan.mode, device)


def open_model(
    card: LargeModelCard,
    snapshot: Snapshot,
    mode: Mode,
    device: torch.device | str,
    dtype: torch.dtype = torch.bfloat16,
) -> "DiffusersVideoModel":
    """Return the model of a folder, run in a given way."""
    architecture = load_architecture(card.architecture, snapshot.folder, mode, device, dtype)
    apply_speed(architecture.transformer, speed_from_environment())
    return DiffusersVideoModel(card, architecture, snapshot.commit)


@dataclass(frozen=True, kw_only=True)
class _Words:
    """A request's texts, encoded."""

    cond: Texts
    uncond: Texts
    scale: float


class DiffusersVideoModel:
    """Words to an orbit video by one of the large open models."""

    def __init__(self, card: LargeModelCard, architecture: Architecture, commit: str) -> None:
        self.card = card
        self.architecture = architecture
        self.commit = commit
        self.findings: dict[str, Any] = {}
        """Of the last clip that was drawn: prompt, how well its frames agree, what was found."""
        self._texts: tuple[GenerationRequest, _Words] | None = None

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            text=True,
            image=self.card.image,
            cameras=self.card.cameras,
            alpha=False,
            normals=False,
            edit=False,
            moves=self.card.moves,
            max_frames=self.card.max_frames,
            sizes=self.card.sizes,
            num_steps=self.card.num_steps,
            guidance_scale=self.card.guidance_scale,
        )

    @property
    def provenance(self) -> dict[str, Any]:
        """Where results come from: repository, the commit that was loaded, licence, findings."""
        return {
            "repository": self.card.repository,
            "commit": self.commit,
            "licence": self.card.licence,
            "mode": self.architecture.stages.mode,
            **self.findings,
        }

    def nearest_known(self, prompt: str, count: int) -> list[KnownName]:
        """Return nothing: nobody can list what a large model has seen."""
        return []

    def drawn_as(self, request: GenerationRequest) -> str | None:
        """Return None: a large model understands words of all kinds."""
        return None

    def familiar(self, prompt: str) -> bool:
        """Return whether to trust the prompt: a large model has seen most things."""
        return True

    def sample(
        self,
        request: GenerationRequest,
        generator: torch.Generator,
        picture: Float[Tensor, "height width 4"] | None = None,
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        """Yield each denoising step of each clip and return the orbit that agrees best.

        Where no clip is a turn about one object, the first is returned as a clip.
        """
        # A stopped run says nothing of the one before; words encoded anew tell their prompt.
        self.findings, self._texts = {}, None
        canvas = self.card.canvas(request.size)
        clip = ClipShape(
            num_frames=self.card.clip_frames(request.num_frames),
            height=canvas.height,
            width=canvas.width,
        )
        num_tries = 1 if self.card.cameras else request.num_tries or self.card.num_tries
        num_steps = request.num_steps or self.card.num_steps
        control = self._control(request, clip, picture)
        words = self._words(request)
        prepared = self.architecture.prepare(clip, control)
        best: Candidate | None = None
        for attempt in range(num_tries):
            steps = self._draw(words, clip, prepared, num_steps, generator)
            latents, last = yield from self._with_previews(
                steps, clip, attempt * num_steps, num_tries * num_steps, best and best.orbit
            )
            frames = square(self.architecture.decode(latents))
            if control is None:
                found = yield from found_after(last, frames, request)
            else:
                found = followed_orbit(frames, request.num_frames, request.elevation_deg)
            if best is None or found.misfit < best.misfit:
                best = found
                self.findings |= found.findings(attempt, num_tries)
        assert best is not None
        return best.orbit

    def denoise(
        self,
        clean: OrbitVideo,
        sigma: float,
        request: GenerationRequest,
        generator: torch.Generator,
        num_steps: int,
    ) -> OrbitVideo:
        """Return the clean estimate of a clip after noise of level `sigma` was added to it.

        The clip is shown over grey and closed with its first frames, so that its length suits the
        autoencoder; the estimate has the clip's coverage, since these models make none.

        Raises:
            ValueError: sigma lies outside (0, 1].
        """
        if not 0 < sigma <= 1:
            raise ValueError(f"sigma is {sigma}; it must lie in (0, 1]")
        canvas = self.card.canvas(request.size)
        step = self.architecture.time_stride
        length = step * -(-clean.num_frames // step) + 1
        around = [index % clean.num_frames for index in range(length)]
        clip = ClipShape(num_frames=length, height=canvas.height, width=canvas.width)
        video = to_canvas(over_grey(clean)[around], canvas.width, canvas.height)
        control = None
        if self.card.cameras:
            cameras = on_canvas(clean.cameras.to("cpu")[around], canvas.width, canvas.height)
            control = Control(picture=video[:, :, :1], cameras=cameras)
        words = self._words(request)
        prepared = self.architecture.prepare(clip, control)
        noise = torch.randn(self.architecture.state_shape(clip), generator=generator)
        noise = noise.to(self.architecture.device)
        start = self.architecture.start(self.architecture.encode(video), noise, clip)
        sigmas = self.architecture.sigmas(num_steps, clip, sigma)
        noisy = add_noise(start, noise, sigmas[:1].to(noise))
        noisy = self.architecture.hold(noisy, prepared)
        with self.architecture.stages.at_work("transformer"):
            *_, last = sample_euler(self._velocity(words, clip, prepared), noisy, sigmas)
        latents = self.architecture.video_latents(last.x, clip)
        frames = square(self.architecture.decode(latents))[: clean.num_frames]
        return with_coverage_of(clean, torch.from_numpy(frames).float() / 255)

    def _control(
        self, request: GenerationRequest, clip: ClipShape, given: Tensor | None
    ) -> Control | None:
        """Return the first picture and the camera path, for a model that takes them."""
        if not self.card.cameras:
            return None
        size = min(clip.height, clip.width)
        cameras = turn_cameras(clip.num_frames, size, request.elevation_deg)
        cut = matted(self.first_picture(request)) if given is None else given
        picture = framed(cut, cameras)
        return Control(
            picture=to_canvas(picture, clip.width, clip.height),
            cameras=on_canvas(cameras, clip.width, clip.height),
        )

    def first_picture(self, request: GenerationRequest) -> Any:
        """Return what the image model draws of the wish, uint8 (height width 3)."""
        assert self.card.image_model is not None
        helper = find_helper(self.card.image_model)
        stages = self.architecture.stages
        plan = best_plan(helper, machine_of(stages.device))
        snapshot = require_whole(helper)
        self.findings["image_model"] = f"{helper.repository} at {snapshot.commit}"
        return draw_picture(
            helper,
            snapshot.folder,
            picture_prompt(self._wish(request), request.elevation_deg),
            PICTURE_SIDE,
            request.seed,
            plan.mode if plan else "streamed",
            stages.device,
        )

    def _wish(self, request: GenerationRequest) -> str:
        if request.recaption in RECAPTIONS:
            return request.prompt
        helper = find_helper(request.recaption)
        folder = require_whole(helper).folder
        return enlarge_wish(helper, folder, request.prompt, self.architecture.device)

    def _words(self, request: GenerationRequest) -> _Words:
        """Return the encoded texts; those of the last request are kept for its distillation."""
        if self._texts is not None and self._texts[0] == request:
            return self._texts[1]
        prompt = request.prompt
        if request.recaption != "none":
            prompt = turntable_prompt(self._wish(request), self.card.style, request.elevation_deg)
        self.findings = {**self.findings, "prompt": prompt, "negative_prompt": NEGATIVE}
        scale = request.guidance_scale
        scale = self.card.guidance_scale if scale is None else scale
        cond, uncond = self.architecture.encode_texts(prompt, NEGATIVE)
        words = _Words(cond=cond, uncond=uncond, scale=scale)
        self._texts = (request, words)
        return words

    def _velocity(self, words: _Words, clip: ClipShape, prepared: dict[str, Tensor]) -> Velocity:
        transformer = self.architecture.transformer
        forget(transformer)

        def once(name: str, x: Tensor, sigma: float, text: Texts) -> Tensor:
            # Caches of blocks keep the two conditions apart by these names.
            context = getattr(transformer, "cache_context", None)
            with torch.no_grad(), context(name) if context else nullcontext():
                return self.architecture.velocity(x, sigma, text, clip, prepared)

        def velocity(x: Tensor, sigma: float) -> Tensor:
            cond = once("cond", x, sigma, words.cond)
            if words.scale == 1.0:
                return cond
            return guide(cond, once("uncond", x, sigma, words.uncond), words.scale)

        return velocity

    def _draw(
        self,
        words: _Words,
        clip: ClipShape,
        prepared: dict[str, Tensor],
        num_steps: int,
        generator: torch.Generator,
    ) -> Generator[FlowStep, None, Tensor]:
        # Drawn on the CPU and then moved, so that a seed means the same clip everywhere.
        noise = torch.randn(self.architecture.state_shape(clip), generator=generator)
        noise = self.architecture.hold(noise.to(self.architecture.device), prepared)
        sigmas = self.architecture.sigmas(num_steps, clip, 1.0)
        with self.architecture.stages.at_work("transformer"):
            return (yield from sample_euler(self._velocity(words, clip, prepared), noise, sigmas))

    @cached_property
    def _projection(self) -> Projection:
        return fit_projection(self.architecture)

    def _with_previews(
        self,
        steps: Generator[FlowStep, None, Tensor],
        clip: ClipShape,
        steps_before: int,
        num_steps: int,
        so_far: OrbitVideo | None,
    ) -> Generator[SamplerStep, None, tuple[Tensor, SamplerStep]]:
        """Yield each step with its preview, and return the clip's latents and the last step."""
        told: SamplerStep | None = None
        # Before the transformer comes to the device, for the encoder needs room too.
        project = self._projection
        try:
            while True:
                try:
                    step = next(steps)
                except StopIteration as finished:
                    assert told is not None
                    return self.architecture.video_latents(finished.value, clip), told
                pictures = project(self.architecture.video_latents(step.denoised, clip))
                told = SamplerStep(
                    step=steps_before + step.step,
                    num_steps=num_steps,
                    sigma=step.sigma,
                    preview=preview_clip(pictures),
                    so_far=so_far,
                )
                yield told
        finally:
            steps.close()
