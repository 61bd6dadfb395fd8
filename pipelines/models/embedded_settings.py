"""What the shipped weights were made for."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class EmbeddedSettings:
    """What the shipped weights were made for; `settings.json` beside them."""

    size: int
    """Width and height of the training frames, pixels."""
    max_frames: int
    num_steps: int
    guidance_scale: float
    shift: float
    """Of the noise schedule; see `shifted_sigmas`."""
    sampler: str
    """`euler` or `heun`."""
    familiar_similarity: float
    """A prompt less similar than this to every known thing is far from what the model knows."""
    recaption_similarity: float = 0.45
    """A prompt in words of its own is called by the name of the nearest known thing from here on;
    what is farther from all of them is left as it was typed."""
    pictures: bool = False
    """Whether the weights have learnt to start from a picture of the object."""
    moves: bool = False
    """Whether the weights have learnt other cameras than the orbit's, and words for motion."""
