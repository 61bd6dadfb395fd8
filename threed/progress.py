"""What a long chain tells whoever drives it, about once a second."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from jaxtyping import UInt8

Result = TypeVar("Result")
Stage = Literal["video", "field", "distillation", "redraw", "mesh", "texture", "report"]
STAGES: tuple[Stage, ...] = get_args(Stage)
"""The stages in the order in which they run; a chain may leave some out."""


class EarlyStop(Exception):
    """Thrown into a chain by whoever drives it: keep what there is and end.

    It comes out of the chain again once that is done.
    """


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One moment of a running chain.

    Raises:
        ValueError: The step lies outside its stage.
    """

    stage: Stage
    """The stage at work."""
    step: int
    """Steps of this stage that are done."""
    num_steps: int
    """Steps that this stage takes in all."""
    message: str
    """What happens now, in a few plain words."""
    preview: UInt8[np.ndarray, "frame height width 3"] | None = None
    """Frames to show, sRGB over white; None where there is nothing new to see."""

    def __post_init__(self) -> None:
        if not 0 <= self.step <= self.num_steps:
            raise ValueError(f"step {self.step} lies outside [0, {self.num_steps}]")


def finish(steps: Generator[Any, None, Result]) -> Result:
    """Drive what yields its progress to its end, telling nobody, and return its result."""
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


def told(
    steps: Generator[None, None, Result], stage: Stage, message: str, most: int | None = None
) -> Generator[Progress, None, Result]:
    """Yield a record before each step of what takes long, and return its result.

    Args:
        steps: Yields between any two of them.
        stage: Whose part it is.
        message: What happens, in a few plain words.
        most: How many steps there are at most, where that is known; else the records say 0 of 1.
    """
    step = 0
    try:
        while True:
            done = 0 if most is None else step
            yield Progress(stage=stage, step=done, num_steps=most or 1, message=message)
            try:
                next(steps)
            except StopIteration as finished:
                return finished.value
            step += 1
    finally:
        steps.close()
