"""What a video model is to the rest of the house. Nothing else asks which model runs."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.request import GenerationRequest
from threed.orbit import OrbitVideo


@dataclass(frozen=True, kw_only=True)
class Abilities:
    """What a model takes and gives."""

    text: bool
    """Takes words."""
    image: bool
    """Takes reference pictures."""
    cameras: bool
    """Follows the cameras that it is told; without it they have to be found afterwards."""
    alpha: bool
    """Gives coverage; without it the clip has to be matted."""
    normals: bool
    """Gives world-space normals, and colours without light."""
    edit: bool
    """Takes a clip and an instruction."""
    moves: bool
    """Follows other cameras than the orbit's, and words for motion."""
    max_frames: int
    """The longest clip, frames."""
    sizes: tuple[int, ...]
    """Widths (and heights) that it makes, pixels; the first is used where none is asked for."""
    num_steps: int
    """Denoising steps where none are asked for."""
    guidance_scale: float
    """Guidance where none is asked for; 1 is off."""

    def __post_init__(self) -> None:
        if self.max_frames < 1 or not self.sizes or min(self.sizes) < 1 or self.num_steps < 1:
            raise ValueError(
                f"max_frames is {self.max_frames}, sizes {self.sizes}, num_steps {self.num_steps}; "
                "each must be at least 1"
            )


@dataclass(frozen=True, kw_only=True)
class SamplerStep:
    """One denoising step that is done."""

    step: int
    """Steps done, from 1 to `num_steps`."""
    num_steps: int
    sigma: float
    """Noise that is left, in [0, 1]."""
    preview: OrbitVideo
    """The clean clip as the model guesses it now; may have fewer or smaller frames."""
    doing: str = ""
    """What goes on after this step, in a few plain words; empty where the step is news itself."""
    so_far: OrbitVideo | None = None
    """What is done already and worth more than the preview, should the drawing be stopped here."""


@dataclass(frozen=True, kw_only=True)
class KnownName:
    """Something that the model has seen, by name."""

    name: str
    similarity: float
    """Cosine between the name and the prompt, in [-1, 1]."""


@runtime_checkable
class VideoModel(Protocol):
    """A model that makes orbit videos from words.

    Every function of chance draws from the generator that it is given and from nothing else. No
    grad mode is held across a `yield`.
    """

    @property
    def abilities(self) -> Abilities: ...

    def sample(
        self,
        request: GenerationRequest,
        generator: torch.Generator,
        picture: Float[Tensor, "height width 4"] | None = None,
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        """Yield each denoising step and return the finished orbit video.

        Args:
            request: The words and settings.
            generator: Draws the noise.
            picture: The object as the orbit's first camera sees it, premultiplied RGBA cut to its
                outline; only for a model with the ability `image`.
        """
        ...

    def denoise(
        self,
        clean: OrbitVideo,
        sigma: float,
        request: GenerationRequest,
        generator: torch.Generator,
        num_steps: int,
    ) -> OrbitVideo:
        """Return the clean estimate of a clip after noise of level `sigma` was added to it.

        Args:
            clean: Frames with the cameras that they were drawn from.
            sigma: Noise to add, in (0, 1].
            request: The words and settings that steer.
            generator: Draws the noise.
            num_steps: Steps from `sigma` back to clean; 1 is the estimate of a single pass.
        """
        ...

    def nearest_known(self, prompt: str, count: int) -> list[KnownName]:
        """Return the known things nearest to the prompt, the nearest first."""
        ...

    def drawn_as(self, request: GenerationRequest) -> str | None:
        """Return the caption that a prompt in other words is drawn under, or None: as typed."""
        ...

    def familiar(self, prompt: str) -> bool:
        """Return whether the prompt lies near enough to what the model knows to trust it."""
        ...
