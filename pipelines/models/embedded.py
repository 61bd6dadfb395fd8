"""The embedded model: the shipped autoencoder and diffusion transformer behind `VideoModel`."""

import json
import math
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from pipelines.errors import InstallationError, RequestError
from pipelines.models.embedded_settings import EmbeddedSettings
from pipelines.models.known_names import KnownNames
from pipelines.models.protocol import Abilities, KnownName, SamplerStep
from pipelines.motions import find_motion, moving_prompt
from pipelines.request import GenerationRequest
from pipelines.shots import plan_shot
from pipelines.video.autoencoder import Autoencoder, frames_from_orbit, orbit_from_frames
from pipelines.video.camera_paths import path_cameras
from pipelines.video.checkpoint import load_autoencoder, load_transformer
from pipelines.video.conditioning import (
    PICTURE_MASK,
    Conditioning,
    empty_reference,
    pad_cameras,
    plucker_rays,
    without_normals,
)
from pipelines.video.diffusion import add_noise, guide, velocity_from_denoised
from pipelines.video.dit import DiT
from pipelines.video.framing import OUTLINE_SHARE, frame_picture
from pipelines.video.precision import mixed_precision
from pipelines.video.samplers import FlowStep, Velocity, sample_euler, sample_heun
from pipelines.video.schedules import shifted_sigmas
from pipelines.video.text import TextEncoder
from threed.cameras import Cameras
from threed.orbit import OrbitVideo

PREVIEW_FRAMES = 8


class EmbeddedModel:
    """Words and cameras to an orbit video, by the weights in `assets/models/embedded`."""

    def __init__(
        self,
        transformer: DiT,
        autoencoder: Autoencoder,
        text_encoder: TextEncoder,
        settings: EmbeddedSettings,
        known: KnownNames,
        device: torch.device | str = "cpu",
    ) -> None:
        self.transformer = transformer.to(device).eval()
        self.autoencoder = autoencoder.to(device).eval()
        self.text_encoder = text_encoder
        self.settings = settings
        self.known = known
        self.device = torch.device(device)
        self.findings: dict[str, Any] = {}
        """Of the last clip that was drawn: why it is no orbit; nothing of an orbit."""

    @classmethod
    def load(cls, folder: Path, device: torch.device | str = "cpu") -> "EmbeddedModel":
        """Return the model of a folder; the catalogue has checked the files' hashes.

        Raises:
            InstallationError: A file is missing, damaged or does not fit.
        """
        settings = folder / "settings.json"
        if not settings.is_file():
            raise InstallationError(f"the embedded model's settings are missing: {settings}")
        known = KnownNames.load(folder / "known.safetensors")
        return cls(
            load_transformer(folder / "transformer.safetensors"),
            load_autoencoder(folder / "autoencoder.safetensors"),
            TextEncoder(),
            EmbeddedSettings(**json.loads(settings.read_text())),
            known,
            device,
        )

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            text=True,
            image=self.settings.pictures,
            cameras=True,
            alpha=True,
            normals=True,
            edit=False,
            moves=self.settings.moves,
            max_frames=self.settings.max_frames,
            sizes=(self.settings.size,),
            num_steps=self.settings.num_steps,
            guidance_scale=self.settings.guidance_scale,
        )

    def nearest_known(self, prompt: str, count: int) -> list[KnownName]:
        """Return the known things nearest to the prompt by their sentences' embeddings."""
        words = self.known.looked_up(self._thing(prompt))
        return self.known.nearest(self.text_encoder.encode([words]).pooled[0], count)

    def familiar(self, prompt: str) -> bool:
        """Return whether some known name is near enough to the prompt."""
        thing, least = self._thing(prompt), self.settings.familiar_similarity
        return self.known.meant(thing, self.nearest_known(thing, 1), least) is not None

    def _thing(self, prompt: str) -> str:
        """Return the prompt without the words for a motion that the model has learnt."""
        found = find_motion(prompt) if self.settings.moves else None
        return prompt if found is None else found[1]

    def drawn_as(self, request: GenerationRequest) -> str | None:
        """Return the caption that a prompt in words of its own is drawn under; None for as typed.

        The network was taught some hundred nouns with their synonyms; a prompt that uses one of
        them is taken as it is, and so is any beside a picture or where `recaption` is `none`. What
        moves is put into the words for that which it was taught, and where nothing shall move those
        words are left out.
        """
        if request.picture is not None or request.recaption == "none":
            return None
        shot = plan_shot(request, self.settings.moves)
        thing = self._called(shot.thing)
        caption = thing if shot.motion is None else moving_prompt(shot.motion, thing)
        return None if caption == request.prompt else caption

    def _called(self, thing: str) -> str:
        """Return a thing by the name under which it is known, as it is if nothing is meant."""
        if self.known.called_by_name(thing):
            return thing
        nearest, least = self.nearest_known(thing, 1), self.settings.recaption_similarity
        name = self.known.meant(thing, nearest, least)
        return thing if name is None else self.known.renamed(thing, name)

    def sample(
        self,
        request: GenerationRequest,
        generator: torch.Generator,
        picture: Float[Tensor, "height width 4"] | None = None,
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        """Yield each denoising step with a preview and return the video of the request.

        Where its camera or its thing moves otherwise than an orbit's, it is a clip.
        """
        shot = plan_shot(request, self.settings.moves)
        self.findings = {}
        if shot.kind == "clip":
            motion = shot.motion and shot.motion.name
            self.findings = {
                "camera": shot.camera,
                "motion": motion,
                "found": shot.why_no_orbit(),
            }
        cameras = path_cameras(
            shot.camera,
            request.num_frames,
            size=request.size or self.settings.size,
            elevation=math.radians(request.elevation_deg),
        )
        return (yield from self.sample_views(request, cameras, generator, picture, kind=shot.kind))

    def sample_views(
        self,
        request: GenerationRequest,
        cameras: Cameras,
        generator: torch.Generator,
        picture: Float[Tensor, "height width 4"] | None = None,
        *,
        framed: bool = False,
        kind: Literal["orbit", "clip"] = "orbit",
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        """Yield each denoising step and return the clip that the given cameras see.

        A picture is what the first of them sees, which then stands at azimuth 0: nobody says how
        the object in a picture stands in the world. It is cut to the object, whose size in the
        world nobody says either, and is enlarged as the renders are; or it is `framed`, the whole
        frame of that camera. Of what `kind` the clip is, whoever asks for it says.

        Raises:
            RequestError: The clip is longer than the model makes.
        """
        if len(cameras) > self.settings.max_frames:
            raise RequestError(
                f"num_frames is {len(cameras)}; the embedded model makes at most "
                f"{self.settings.max_frames}"
            )
        padded = self._padded(cameras)
        noise = torch.randn(self._latent_shape(padded), generator=generator).to(self.device)
        sigmas = shifted_sigmas(
            request.num_steps or self.settings.num_steps, shift=self.settings.shift
        )
        given = None if picture is None else self._reference(picture, cameras, padded, framed)
        velocity = self._velocity(request, padded, given)
        sampler = sample_heun if self.settings.sampler == "heun" else sample_euler
        steps = sampler(velocity, noise, sigmas)
        latents = yield from self._with_previews(steps, cameras, kind)
        return replace(self._decode(latents, cameras), kind=kind)

    def denoise(
        self,
        clean: OrbitVideo,
        sigma: float,
        request: GenerationRequest,
        generator: torch.Generator,
        num_steps: int,
    ) -> OrbitVideo:
        """Return the clean estimate of a clip after noise of level `sigma` was added to it.

        Raises:
            ValueError: sigma lies outside (0, 1], or the clip's size does not divide into patches.
        """
        padded = self._padded(clean.cameras)
        if (padded.width, padded.height) != (clean.cameras.width, clean.cameras.height):
            raise ValueError(
                f"frames of {clean.cameras.width} x {clean.cameras.height} do not divide into "
                f"patches of {self._pixel_multiple} pixels"
            )
        frames = frames_from_orbit(clean)
        repeats = len(padded) - len(frames)
        frames = torch.cat([frames, frames[-1:].expand(repeats, -1, -1, -1)])
        with torch.no_grad():
            latents = self.autoencoder.encode(frames[None].to(self.device))
        noise = torch.randn(latents.shape, generator=generator).to(self.device)
        level = torch.tensor([sigma], device=self.device)
        sigmas = shifted_sigmas(num_steps, shift=self.settings.shift, start=sigma)
        steps = sample_euler(
            self._velocity(request, padded), add_noise(latents, noise, level), sigmas
        )
        *_, last = steps
        return self._decode(last.x, clean.cameras)

    @property
    def _pixel_multiple(self) -> int:
        return self.autoencoder.config.stride * self.transformer.config.patch_size

    def _padded(self, cameras: Cameras) -> Cameras:
        return pad_cameras(cameras, self.transformer.config.patch_frames, self._pixel_multiple)

    def _latent_shape(self, cameras: Cameras) -> tuple[int, int, int, int, int]:
        stride = self.autoencoder.config.stride
        channels = self.autoencoder.config.latent_channels
        return (1, len(cameras), channels, cameras.height // stride, cameras.width // stride)

    def _reference(
        self,
        picture: Float[Tensor, "height width 4"],
        cameras: Cameras,
        padded: Cameras,
        framed: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return reference latents and mask of a clip whose first frame is given as a picture."""
        reference, mask = empty_reference(*self._latent_shape(padded))
        # What padding adds shows no more of the object.
        share = OUTLINE_SHARE * cameras.width / padded.width
        frame = picture if framed else frame_picture(picture, padded.width, share)
        frame = rearrange(frame, "h w c -> 1 1 c h w")
        channels = without_normals(torch.cat([2 * frame - 1, frame[:, :, :3]], dim=2))
        with torch.no_grad():
            reference[:, :1] = self.autoencoder.encode(channels.to(self.device)).cpu()
        mask[:, :1] = PICTURE_MASK
        return reference, mask

    def _velocity(
        self,
        request: GenerationRequest,
        cameras: Cameras,
        given: tuple[Tensor, Tensor] | None = None,
    ) -> Velocity:
        """Return the guided velocity.

        A network that has learnt this guidance gives it in one pass; else both conditions go
        through as one batch.
        """
        scale = request.guidance_scale
        scale = self.settings.guidance_scale if scale is None else scale
        learnt = 1 <= scale <= self.transformer.config.max_guidance
        text = self.text_encoder.encode([self.drawn_as(request) or request.prompt])
        reference, mask = given or empty_reference(*self._latent_shape(cameras))
        cond = Conditioning(
            text=text.tokens,
            pooled=text.pooled,
            rays=plucker_rays(cameras, self.autoencoder.config.stride)[None],
            reference=reference,
            reference_mask=mask,
            guidance=torch.tensor([scale if learnt else 1.0]),
        ).to(self.device)
        if given is not None and not self.familiar(request.prompt):
            # A file's name, or a thing that the model has no notion of, would only mislead it.
            cond = cond.without_text()
        if not learnt:
            cond = Conditioning.stack(cond, cond.null())

        def velocity(x: Tensor, sigma: float) -> Tensor:
            batch = x if learnt else x.expand(2, -1, -1, -1, -1)
            level = torch.full((len(batch),), sigma, device=x.device)
            with torch.no_grad(), mixed_precision(x.device):
                clean = self.transformer(batch, level, cond).float()
            if not learnt:
                clean = guide(clean[:1], clean[1:], scale)
            return velocity_from_denoised(x, clean, level[:1])

        return velocity

    def _with_previews(
        self,
        steps: Generator[FlowStep, None, Tensor],
        cameras: Cameras,
        kind: Literal["orbit", "clip"],
    ) -> Generator[SamplerStep, None, Tensor]:
        index = list(range(0, len(cameras), max(1, len(cameras) // PREVIEW_FRAMES)))
        index = index[:PREVIEW_FRAMES]
        while True:
            try:
                step = next(steps)
            except StopIteration as stop:
                return stop.value
            with torch.no_grad():
                frames = self.autoencoder.decode_linear(step.denoised[:, index])[0]
            orbit = orbit_from_frames(_cropped(frames.cpu(), cameras), cameras[index])
            yield SamplerStep(
                step=step.step,
                num_steps=step.num_steps,
                sigma=step.sigma,
                preview=replace(orbit, kind=kind),
            )

    def _decode(
        self,
        latents: Float[Tensor, "1 frame channel rows columns"],
        cameras: Cameras,
    ) -> OrbitVideo:
        # One whole clip in one pass: the decoder mixes neighbouring frames.
        with torch.no_grad(), mixed_precision(self.device):
            frames = self.autoencoder.decode(latents)[0, : len(cameras)]
        return orbit_from_frames(_cropped(frames.float().cpu(), cameras), cameras)


def _cropped(
    frames: Float[Tensor, "frame channel height width"], cameras: Cameras
) -> Float[Tensor, "frame channel rows columns"]:
    """Return the middle of padded frames, of the cameras' size."""
    top = (frames.shape[2] - cameras.height) // 2
    left = (frames.shape[3] - cameras.width) // 2
    return frames[:, :, top : top + cameras.height, left : left + cameras.width]
