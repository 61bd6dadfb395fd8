"""The underside that no view sees: filled to what the views allow, and cut off level.

The descent bends it inwards, for the gradients of what is seen are spread over it and no view
objects. Shading does: it holds the rim, and where an underside rises says so. Where silhouettes
alone tell of shape, what they allow is the better guess.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from threed.cameras import Cameras, project
from threed.field import Field
from threed.hull import HullConfig, carve, close_border, redistance
from threed.orbit import OrbitVideo
from threed.render import SurfacePoints, surface_points
from threed.shading import tells_of_shape
from threed.upright import Up

# A view sees the surface well that faces it by more than this cosine.
WELL = 0.15
# Of the pixels that see the surface well, so many may lie below the cut under all of them: enough
# that a stray one does not decide, and so few that a rounded foot keeps its height.
LOWEST_SHARE = 2e-4
# Neighbouring pixels whose depths differ by a larger factor see two surfaces.
SAME_SURFACE = 1.05
# How deep inside what was filled can lie, voxels.
DEEPEST = 3.0


def finish_underside(field: Field, orbit: OrbitVideo, config: HullConfig, up: Up = "y") -> None:
    """Cut a fitted field off below what views see of it, filled before where only mattes tell.

    Args:
        field: What is filled and cut.
        orbit: What it was fitted to.
        config: How mattes are carved.
        up: The axis that points up.
    """
    surface = surface_points(field, orbit.cameras)
    if not tells_of_shape(orbit, surface):
        fill_underside(field, orbit, surface, config, up)
    flatten_underside(field, surface, up)


def flatten_underside(field: Field, surface: SurfacePoints, up: Up = "y") -> None:
    """Cut the field off, level, at the lowest place that some view has seen well.

    Below, only silhouettes have a say, and from above they allow a spike under every foot. Such
    hull is tangent to the rays that bound it, so a view never faces it.

    Args:
        field: What is cut.
        surface: Where the views see it.
        up: The axis that points up.
    """
    well = surface.hit & (surface.facing > WELL)
    if not bool(well.any()):
        return
    axis = 1 if up == "y" else 2
    lowest = torch.quantile(_thinned(surface.points[well][:, axis]), LOWEST_SHARE)
    with torch.no_grad():
        count = field.config.resolution[axis]
        level = torch.arange(count, device=lowest.device)
        below = (lowest - field.lower[axis]) / field.voxel - level
        # The grid's outermost axis is z.
        below = below[None, :, None] if up == "y" else below[:, None, None]
        field.distance.copy_(torch.maximum(field.distance, below))


def fill_underside(
    field: Field, orbit: OrbitVideo, surface: SurfacePoints, config: HullConfig, up: Up = "y"
) -> None:
    """Fill what no view sees below a thing, as far as the mattes allow.

    Args:
        field: What is filled.
        orbit: Whose mattes.
        surface: Where its views see the field.
        config: How mattes are carved.
        up: The axis that points up.
    """
    distance = field.distance.detach()
    hull = carve(orbit, field.lower, field.config.resolution, float(field.voxel), config)
    # The grid's outermost axis is z.
    nothing_below = (distance < 0).cumsum(dim=1 if up == "y" else 0) == 0
    open_below = hull & nothing_below
    if not bool(open_below.any()):
        return
    points = field.lower + field.voxel * open_below.nonzero().flip(-1)
    sight = _sight(points, surface, orbit.cameras) / field.voxel
    filled = distance.clone()
    filled[open_below] = torch.minimum(distance[open_below], sight.clamp(min=-DEEPEST))
    with torch.no_grad():
        field.distance.copy_(close_border(redistance(filled)))


def _sight(
    points: Float[Tensor, "point 3"], surface: SurfacePoints, cameras: Cameras
) -> Float[Tensor, " point"]:
    """Return how far before the surface that hides it each point lies, in the view that sees it
    best; negative where every view's is before the point, and so none sees it.
    """
    best = torch.full_like(points[:, 0], -torch.inf)
    rows, columns = surface.hit.shape[1:]
    for view in range(len(cameras)):
        camera = cameras[[view]]
        pixel, depth = (values[0] for values in project(points, camera))
        _, surface_depth = project(surface.points[view].reshape(-1, 3), camera)
        # In perspective a plane's inverse depth is linear over the picture; background's is zero.
        inverse = torch.where(surface.hit[view].reshape(-1), 1 / surface_depth[0], 0)
        place = pixel - 0.5
        inside = (depth > 0) & (place >= 0).all(-1) & (place[:, 0] <= columns - 1)
        inside &= place[:, 1] <= rows - 1
        first = place.floor().long()
        column, row = first[:, 0].clamp(0, columns - 2), first[:, 1].clamp(0, rows - 2)
        right, down = (place - torch.stack([column, row], dim=-1)).clamp(0, 1).unbind(-1)
        at = row * columns + column
        corners = torch.stack([inverse[at + k] for k in (0, 1, columns, columns + 1)])
        weights = torch.stack(
            [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
        )
        farthest = corners.amin(dim=0)
        smooth = corners.amax(dim=0) < SAME_SURFACE * farthest
        # Across an edge the point counts as seen that the farther surface leaves free.
        nearest = torch.where(smooth, (weights * corners).sum(dim=0), farthest)
        best = torch.where(inside, torch.maximum(best, 1 / nearest - depth), best)
    return best


def _thinned(values: Float[Tensor, " value"]) -> Float[Tensor, " some"]:
    """Return evenly chosen values, so few that torch's quantile takes them."""
    return values[:: 1 + len(values) // 1_000_000]
