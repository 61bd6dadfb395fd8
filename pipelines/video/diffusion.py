"""Rectified flow's algebra, each formula once.

`sigma` in [0, 1] is the noise level, 0 is clean: x_sigma = (1 - sigma) * x0 + sigma * noise, so
that the velocity d x / d sigma is noise - x0 along every straight path (Liu et al., "Flow Straight
and Fast", equation 1; Esser et al., "Scaling Rectified Flow Transformers", section 2).
"""

from jaxtyping import Float
from torch import Tensor


def add_noise(
    clean: Float[Tensor, "batch *latent"],
    noise: Float[Tensor, "batch *latent"],
    sigma: Float[Tensor, " batch"],
) -> Float[Tensor, "batch *latent"]:
    """Return the point at `sigma` on the straight path from clean to noise."""
    level = sigma.view(-1, *[1] * (clean.ndim - 1))
    return (1 - level) * clean + level * noise


def velocity_target(
    clean: Float[Tensor, "batch *latent"], noise: Float[Tensor, "batch *latent"]
) -> Float[Tensor, "batch *latent"]:
    """Return the path's derivative by sigma, which the network learns."""
    return noise - clean


def denoised(
    x: Float[Tensor, "batch *latent"],
    velocity: Float[Tensor, "batch *latent"],
    sigma: Float[Tensor, " batch"],
) -> Float[Tensor, "batch *latent"]:
    """Return the clean estimate that a velocity at x and sigma implies."""
    return x - sigma.view(-1, *[1] * (x.ndim - 1)) * velocity


def velocity_from_denoised(
    x: Float[Tensor, "batch *latent"],
    clean: Float[Tensor, "batch *latent"],
    sigma: Float[Tensor, " batch"],
) -> Float[Tensor, "batch *latent"]:
    """Return the velocity at x and sigma > 0 that a clean estimate implies."""
    return (x - clean) / sigma.view(-1, *[1] * (x.ndim - 1))


def guide(
    cond: Float[Tensor, "batch *latent"],
    uncond: Float[Tensor, "batch *latent"],
    guidance_scale: float | Tensor,
) -> Float[Tensor, "batch *latent"]:
    """Return the guided prediction; a scale of 1.0 is off.

    Ho and Salimans, "Classifier-Free Diffusion Guidance", equation 6, in the convention whose
    scale multiplies the difference from the unconditional prediction.
    """
    return uncond + guidance_scale * (cond - uncond)
