"""Samplers of the probability flow: functions of velocity(x, sigma) and nothing else.

Each is a generator that yields a record a step and returns the sample. The state is float32.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor

Velocity = Callable[[Tensor, float], Tensor]


@dataclass(frozen=True, kw_only=True)
class FlowStep:
    """The sampler's state after a step."""

    step: int
    """Steps done, from 1."""
    num_steps: int
    sigma: float
    """Noise level that x now has."""
    x: Float[Tensor, "batch *latent"]
    denoised: Float[Tensor, "batch *latent"]
    """The clean estimate made in this step."""


def sample_euler(
    velocity: Velocity,
    x: Float[Tensor, "batch *latent"],
    sigmas: Float[Tensor, " level"],
) -> Generator[FlowStep, None, Float[Tensor, "batch *latent"]]:
    """Integrate with Euler's method: one evaluation a step, error of first order."""
    levels = sigmas.tolist()
    for step, (sigma, sigma_next) in enumerate(pairwise(levels), start=1):
        slope = velocity(x, sigma)
        clean = x - sigma * slope
        x = x + (sigma_next - sigma) * slope
        yield FlowStep(step=step, num_steps=len(levels) - 1, sigma=sigma_next, x=x, denoised=clean)
    return x


def sample_heun(
    velocity: Velocity,
    x: Float[Tensor, "batch *latent"],
    sigmas: Float[Tensor, " level"],
) -> Generator[FlowStep, None, Float[Tensor, "batch *latent"]]:
    """Integrate with Heun's method: two evaluations a step, error of second order.

    Karras et al., "Elucidating the Design Space", algorithm 1, with Euler's step onto zero noise.
    """
    levels = sigmas.tolist()
    for step, (sigma, sigma_next) in enumerate(pairwise(levels), start=1):
        slope = velocity(x, sigma)
        clean = x - sigma * slope
        ahead = x + (sigma_next - sigma) * slope
        if sigma_next > 0:
            slope = 0.5 * (slope + velocity(ahead, sigma_next))
            ahead = x + (sigma_next - sigma) * slope
        x = ahead
        yield FlowStep(step=step, num_steps=len(levels) - 1, sigma=sigma_next, x=x, denoised=clean)
    return x
