"""Noise levels of models whose schedule leans towards noise the more tokens a clip has."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.video.schedules import shifted_sigmas


def dynamic_sigmas(
    num_steps: int, shift: float, terminal: float | None, start: float
) -> Float[Tensor, " level"]:
    """Return levels from `start` to 0, shifted by exp(shift) and stretched to end at `terminal`.

    diffusers' FlowMatchEulerDiscreteScheduler with `use_dynamic_shifting` and its exponential
    shift, which is `shifted_sigmas` with a shift of exp(mu); `terminal` is the last level before
    zero of a whole run, and the levels between are stretched linearly in 1 - sigma.

    Args:
        num_steps: Steps of the run.
        shift: The scheduler's mu.
        terminal: Its `shift_terminal`; None or 0 where it does not stretch.
        start: First level; below 1 only for clips that are partly noised.
    """
    factor = math.exp(shift)
    if start < 1.0:
        # A few last steps onto a clip: every one counts, so the tail is not cut off.
        return shifted_sigmas(num_steps, shift=factor, start=start)
    plain = torch.linspace(1, 1 / num_steps, num_steps, dtype=torch.float64)
    sigmas = factor / (factor + (1 / plain - 1))
    if terminal and num_steps > 1:
        remainder = 1 - sigmas
        sigmas = 1 - remainder * ((1 - terminal) / float(remainder[-1]))
    return torch.cat([sigmas, sigmas.new_zeros(1)]).float()
