"""What a fit minimises: differences of pictures, and how little a distance looks like one."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from threed.kernels import in_parts
from threed.kernels.rendering import surface_penalty
from threed.orbit import OrbitVideo
from threed.render import Rendered
from threed.shading import Light, shading_residual
from threed.targets import RayTargets

# Where a difference turns from its square to its absolute value.
BETA = 0.2
# Distances that are held to be such, voxels from the surface.
NEAR = 2.5


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the loss's terms; pictures are summed over rays, the rest over vertices."""

    alpha_weight: float = 6.0
    colour_weight: float = 2.0
    normal_weight: float = 0.5
    """Counts only where the video has normals."""
    shading_weight: tuple[float, float] = (8.0, 1.0)
    """At the start and at the end. Counts only where the video has no normals and its light can be
    told. It digs the hollows; later, what it knows less well than the colours would bend."""
    eikonal_weight: float = 0.003
    """Holds the distance's gradient to length one near the surface."""
    smooth_weight: float = 0.02
    """Holds the distance's second differences to zero near the surface."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if np.min(value) < 0:
                raise ValueError(f"{name} is {value}; it must not be negative")


DRAWN = LossConfig(alpha_weight=1.0, colour_weight=1.0, eikonal_weight=0.05)
"""For frames that a model drew: they disagree, and what only one of them shows had better not
dent the surface."""


def loss_for(orbit: OrbitVideo) -> LossConfig:
    """Return the weights for a video; only models' frames have normals."""
    return LossConfig() if orbit.normals is None else DRAWN


def picture_loss(
    seen: Rendered, targets: RayTargets, num_coloured: int, config: LossConfig
) -> Float[Tensor, ""]:
    """Return the weighted differences between rendered and wanted rays, summed over the rays.

    Only the first `num_coloured` rays have a colour; they stand for the others.
    """
    distance = _half_square if targets.squared else _robust
    error = config.alpha_weight * distance(seen.accumulation - targets.alpha)
    if targets.normals is not None:
        apart = distance(seen.normals - targets.normals).sum(dim=-1)
        error = error + config.normal_weight * apart
    some = slice(None, num_coloured)
    colour = distance(seen.albedo[some] - targets.albedo[some]).sum(dim=-1)
    colour = (colour * targets.weight[some]).sum() * (len(targets) / num_coloured)
    return (error * targets.weight).sum() + config.colour_weight * colour


def shading_loss(seen: Rendered, targets: RayTargets, light: Light | None) -> Float[Tensor, ""]:
    """Return how far the brightness that the rendered normals have in a light is from the seen.

    Summed over the rays, not weighted.
    """
    if targets.shading is None or light is None:
        return seen.normals.new_zeros(())
    length = seen.normals.norm(dim=-1, keepdim=True)
    residual, confidence = shading_residual(
        seen.normals / length.clamp(min=1e-3), targets.shading, light
    )
    # Where the rays end in the field is not settled, their mean normal says little.
    settled = (length[:, 0].detach() > 0.5) & (seen.accumulation.detach() > 0.8)
    weight = confidence * settled * targets.weight
    return (_robust(residual) * weight).sum()


def _half_square(difference: Tensor) -> Tensor:
    return 0.5 * difference.square()


def _robust(difference: Tensor) -> Tensor:
    """A square near zero, the absolute value beyond: frames of a model disagree in places."""
    return F.smooth_l1_loss(difference, torch.zeros_like(difference), beta=BETA, reduction="none")


def surface_loss(
    table: Float[Tensor, "vertex 4"], bend: Float[Tensor, "vertex 3"], config: LossConfig
) -> Float[Tensor, ""]:
    """Return the penalties on the distance near its zero, summed over vertices.

    Args:
        table: Distance and gradient at vertices, voxels.
        bend: Second differences along the axes.
    """
    if table.device.type == "cpu":
        return _SurfaceLoss.apply(table, bend, config)
    return surface_loss_anywhere(table, bend, config)


def surface_loss_anywhere(
    table: Float[Tensor, "vertex 4"], bend: Float[Tensor, "vertex 3"], config: LossConfig
) -> Float[Tensor, ""]:
    """Do what `surface_loss` does, for any device."""
    near = (table[:, 0].detach().abs() < NEAR).float()
    length = (table[:, 1:].square().sum(dim=-1) + 1e-6).sqrt()
    eikonal = ((length - 1).square() * near).sum()
    smooth = (_robust(bend).sum(dim=-1) * near).sum()
    return config.eikonal_weight * eikonal + config.smooth_weight * smooth


class _SurfaceLoss(torch.autograd.Function):
    """What `surface_loss_anywhere` does, in one pass over the vertices there and back."""

    @staticmethod
    def forward(ctx, table: Tensor, bend: Tensor, config: LossConfig) -> Tensor:
        ctx.to_table, ctx.to_bend = torch.empty_like(table), torch.empty_like(bend)
        arrays = [t.numpy() for t in (table.detach(), bend.detach(), ctx.to_table, ctx.to_bend)]
        weights = (NEAR, config.eikonal_weight, config.smooth_weight, BETA)
        scales = [np.float32(weight) for weight in weights]
        total = sum(
            in_parts(lambda part: surface_penalty(*(a[part] for a in arrays), *scales), len(table))
        )
        return table.new_tensor(total)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        return grad * ctx.to_table, grad * ctx.to_bend, None
