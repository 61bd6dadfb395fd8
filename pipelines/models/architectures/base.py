"""What every large model's networks do, in the house's terms; families fill in their differences.

A sampler's state is flow's: x = (1 - sigma) x0 + sigma noise in float32, sigma in [0, 1]. Other
predictions, signs, time scales and layouts are turned into that here and nowhere else. A clip is
`1 3 frame height width` with values in [-1, 1].
"""

from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.models.staging import Stages
from pipelines.video.schedules import shifted_sigmas
from threed.cameras import Cameras

Texts = dict[str, Tensor]
"""What a text encoder made of one prompt, by the names that the family's transformer uses."""


@dataclass(frozen=True, kw_only=True)
class ClipShape:
    """The size of a clip in pixels."""

    num_frames: int
    height: int
    width: int


@dataclass(frozen=True, kw_only=True)
class Control:
    """What holds a clip besides words, for models that take it."""

    picture: Float[Tensor, "1 3 1 height width"]
    """The first frame, in [-1, 1]."""
    cameras: Cameras
    """One camera a frame of the clip, of the canvas's size."""


class Architecture(ABC):
    """One loaded pipeline of a family."""

    pipeline_name: str
    """The class in diffusers."""
    parts: tuple[str, ...]
    """Networks that are loaded, in the order in which they work."""
    unused: tuple[str, ...] = ()
    """Components of the pipeline that are left out."""

    def __init__(self, pipeline: Any, stages: Stages) -> None:
        self.pipeline = pipeline
        self.stages = stages

    @property
    def vae(self) -> Any:
        return self.pipeline.vae

    @property
    def transformer(self) -> Any:
        return self.pipeline.transformer

    @property
    def device(self) -> torch.device:
        return self.stages.device

    @property
    @abstractmethod
    def space_stride(self) -> int:
        """Pixels to a latent, each way."""

    @property
    @abstractmethod
    def time_stride(self) -> int:
        """Frames to a latent, after the first."""

    @property
    def pixel_multiple(self) -> int:
        """Widths and heights are multiples of this many pixels."""
        return self.space_stride

    @property
    def latent_channels(self) -> int:
        return int(self.transformer.config.in_channels)

    def state_shape(self, clip: ClipShape) -> tuple[int, ...]:
        """Return the shape of a sampler's state for a clip; the batch, which is 1, first."""
        return (1, self.latent_channels, *self.latent_size(clip))

    def latent_size(self, clip: ClipShape) -> tuple[int, int, int]:
        """Return frames, rows and columns of a clip's latents."""
        return (
            (clip.num_frames - 1) // self.time_stride + 1,
            clip.height // self.space_stride,
            clip.width // self.space_stride,
        )

    def sigmas(self, num_steps: int, clip: ClipShape, start: float) -> Float[Tensor, " level"]:
        """Return the noise levels of a run from `start` to 0, as the family spaces them."""
        shift = float(self.pipeline.scheduler.config.get("shift") or 1.0)
        # Wan's own scheduler calls it so.
        shift = float(self.pipeline.scheduler.config.get("flow_shift") or shift)
        return shifted_sigmas(num_steps, shift=shift, start=start)

    def encode_texts(self, prompt: str, negative: str) -> tuple[Texts, Texts]:
        """Return what the text encoder makes of a prompt and of what shall not be there."""
        with torch.no_grad(), self.stages.at_work(*self._text_parts()):
            return self._encode_text(prompt), self._encode_negative(negative)

    def _text_parts(self) -> tuple[str, ...]:
        return ("text_encoder",)

    @abstractmethod
    def _encode_text(self, prompt: str) -> Texts:
        """Return what the text encoder, which is on the device, makes of a prompt."""

    def _encode_negative(self, prompt: str) -> Texts:
        return self._encode_text(prompt)

    def prepare(self, clip: ClipShape, control: Control | None) -> dict[str, Tensor]:
        """Return what the transformer needs to know of a clip besides words and noise."""
        return {}

    def hold(
        self, x: Float[Tensor, "1 *state"], prepared: dict[str, Tensor]
    ) -> Float[Tensor, "1 *state"]:
        """Return a noisy state with what must stay clean put back."""
        return x

    @abstractmethod
    def velocity(
        self,
        x: Float[Tensor, "1 *state"],
        sigma: float,
        text: Texts,
        clip: ClipShape,
        prepared: dict[str, Tensor],
    ) -> Float[Tensor, "1 *state"]:
        """Return noise - x0 as the transformer, which is on the device, sees it at x and sigma."""

    def video_latents(
        self, x: Float[Tensor, "1 *state"], clip: ClipShape
    ) -> Float[Tensor, "1 channel time rows columns"]:
        """Return the part of a state that shows something."""
        return x

    def encode(
        self, video: Float[Tensor, "1 3 frame height width"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        """Return a clip's latents, normalised as the transformer knows them, in float32."""
        with torch.no_grad(), self.stages.at_work("vae"), whole_tiles(self.vae):
            encoded = self.vae.encode(video.to(self.device, self.vae.dtype)).latent_dist.mode()
        return self.normalise(encoded.float())

    def decode(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 3 frame height width"]:
        """Return the clip of normalised latents, in float32 on the CPU."""
        plain = self.denormalise(latents).to(self.vae.dtype)
        with torch.no_grad(), self.stages.at_work("vae"):
            return self._decode(plain).float().cpu().clamp(-1, 1)

    def _decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents, return_dict=False)[0]

    @abstractmethod
    def normalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        """Return the autoencoder's latents as the transformer knows them."""

    @abstractmethod
    def denormalise(
        self, latents: Float[Tensor, "1 channel time rows columns"]
    ) -> Float[Tensor, "1 channel time rows columns"]:
        """Return the transformer's latents as the autoencoder knows them."""

    def start(
        self,
        latents: Float[Tensor, "1 channel time rows columns"],
        noise: Float[Tensor, "1 *state"],
        clip: ClipShape,
    ) -> Float[Tensor, "1 *state"]:
        """Return the clean state of a clip's latents; `noise` fills what latents do not tell."""
        return latents

    def _network_dtype(self) -> torch.dtype:
        """Return what the transformer computes in, which is not what fp8 weights are kept in."""
        return self.stages.dtype


@contextmanager
def whole_tiles(vae: Any) -> Generator[None, None, None]:
    """Encode without tiles for the block: some autoencoders tile only their decoder rightly."""
    tiled = getattr(vae, "use_tiling", False)
    try:
        if tiled:
            vae.use_tiling = False
        yield
    finally:
        if tiled:
            vae.use_tiling = True


def channelwise(values: Any, like: Tensor) -> Tensor:
    """Return one number a channel, shaped to meet latents."""
    return torch.as_tensor(values, dtype=like.dtype, device=like.device).view(1, -1, 1, 1, 1)
