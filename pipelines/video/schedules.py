"""Noise levels of a sampling run: descending sigmas that end in an appended zero."""

import torch
from jaxtyping import Float
from torch import Tensor


def shifted_sigmas(
    num_steps: int, *, shift: float = 1.0, start: float = 1.0
) -> Float[Tensor, " level"]:
    """Return num_steps + 1 levels from `start` to 0, spent more on high noise the larger the shift.

    Esser et al., "Scaling Rectified Flow Transformers", equation 23: sigma' = s sigma / (1 + (s-1)
    sigma). A shift of 1 is uniform. `start` below 1 resumes from a partly noised clip.

    Raises:
        ValueError: Fewer than one step, or start outside (0, 1].
    """
    if num_steps < 1:
        raise ValueError(f"num_steps is {num_steps}; it must be at least 1")
    if not 0 < start <= 1:
        raise ValueError(f"start is {start}; it must lie in (0, 1]")
    # The shift maps (0, 1) onto itself, so the level before it that gives `start` is its inverse.
    unshifted = start / (shift - (shift - 1) * start)
    sigma = torch.linspace(unshifted, 0, num_steps + 1, dtype=torch.float64)
    return (shift * sigma / (1 + (shift - 1) * sigma)).float()
