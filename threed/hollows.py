"""Hollows dug on to walls of even thickness, where carving has opened them from above.

Carving stops where the colours inside a hollow look alike, and the descent moves a floor that it
finds too high by little: what the views see there fits it nearly as well. A floor that lies too
deep it lifts without trouble. So a thing that carving has opened from above is taken for a vessel,
emptied, and left to the descent beside the carved one; who explains the frames better is kept, in
their colours and, where there are any, their normals, which also show where a hollow begins.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from threed.carving import outward, take_away
from threed.field import Field
from threed.hull import distance_to_surface
from threed.orbit import OrbitVideo
from threed.render import views_and_surface
from threed.upright import Up

# The air so many voxels about the opening is beside no wall.
RIM = 2
# How far apart surfaces must lie to be compared, voxels, and from the silhouette, pixels.
APART = 1.5
EDGE = 2
# Farther than any vertex lies from another, voxels.
FAR = 1e4


@dataclass(frozen=True, kw_only=True)
class HollowConfig:
    """When and how a hollow is dug on."""

    wall: float = 3.5
    """Thickness of the walls that are left, voxels: thinner than most, for the descent fills."""
    floor: float = 6.0
    """Thickness of the floor. Where no view sees it the descent fills nothing and wears it."""
    least_floor: int = 4
    """So much of the floor, from below, comes back where it was worn, less the lowest voxel."""
    least_share: float = 0.02
    """Share of the hull that carving must have taken."""
    least_rise: float = 0.8
    """Mean cosine between up and the hull's normals over the opening: vessels open upwards, while
    what carving takes from a side is often its own mistake. Seen from one height alone, the hull
    over an opening is a cone as steep as the cameras stand high."""
    margin_db: float = 1.5
    """How much better the emptied thing must explain the frames where the surfaces differ, dB."""

    def __post_init__(self) -> None:
        for name in ("wall", "floor"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")
        if not 0 < self.least_share < 1:
            raise ValueError(f"least_share is {self.least_share}; it must lie in (0, 1)")


def opens_upwards(
    hull: Bool[Tensor, "depth height width"],
    taken: Bool[Tensor, "depth height width"],
    config: HollowConfig,
    up: Up = "y",
) -> bool:
    """Return whether what was carved is the beginning of a vessel's hollow.

    Args:
        hull: Which vertices were inside before carving.
        taken: Which of these were carved away.
        config: What counts.
        up: The axis that points up.
    """
    if int(taken.sum()) < config.least_share * int(hull.sum()):
        return False
    solid = np.asarray(hull.cpu())
    inner = np.asarray(ndimage.binary_erosion(solid))
    opening = torch.from_numpy(_largest_part(taken) & solid & ~inner).to(hull.device)  # pyright: ignore[reportOperatorIssue]
    rise = outward(hull, opening)[:, 1 if up == "y" else 2]
    # A hollow wholly inside is a mistake, too.
    return len(rise) > 0 and float(rise.mean()) > config.least_rise


def empty_to_walls(
    field: Field,
    hull: Bool[Tensor, "depth height width"],
    taken: Bool[Tensor, "depth height width"],
    config: HollowConfig,
    up: Up = "y",
) -> None:
    """Take all away that the largest part of what was carved leads to, but for walls.

    Args:
        field: A descent's end, whose walls and underside are where the views show them.
        hull: Which of its vertices were inside before carving.
        taken: Which of these were carved away.
        config: How thick walls and floor are.
        up: The axis that points up.
    """
    inside, largest = np.asarray((field.distance.detach() < 0).cpu()), _largest_part(taken)
    # The descent has dug on; what it moved by a voxel elsewhere is not part of the hollow.
    moved = np.asarray(ndimage.binary_opening(np.asarray(hull.cpu()) & ~inside))
    hollow = _part_of(largest, moved | largest)
    solid = inside | hollow
    rim = _widened(hollow) & solid
    no_wall = np.asarray(solid | _widened(rim))
    # The grid's outermost axis is z.
    spacing = np.ones(3)
    spacing[1 if up == "y" else 0] = config.wall / config.floor
    within = ndimage.distance_transform_edt(no_wall, sampling=spacing)
    deep = inside & (np.asarray(within) > config.wall)
    take_away(field, torch.from_numpy(_part_of(largest, deep | hollow)).to(hull.device))


def floor_below(
    before: Field, emptied: Field, config: HollowConfig, up: Up = "y"
) -> Float[Tensor, "depth height width"]:
    """Return distances, in voxels, to the part of a floor that the descent may not wear.

    It lies below what was emptied and a voxel within the solid, which the views may yet trim.

    Args:
        before: The solid that was emptied.
        emptied: The same after that.
        config: How much of the floor.
        up: The axis that points up.
    """
    axis = 1 if up == "y" else 0
    solid, kept = before.distance.detach() < 0, emptied.distance.detach() < 0
    gone = solid & ~kept
    position = torch.ones_like(kept, dtype=torch.long).cumsum(dim=axis) - 1
    # The nearest vertices above and below each that are not kept.
    last = position.amax()
    above = torch.where(kept, last, position).flip(axis).cummin(dim=axis).values.flip(axis)
    below = torch.where(kept, -1, position).cummax(dim=axis).values
    floor = kept & gone.gather(axis, above) & (position - below <= config.least_floor)
    if not bool(floor.any()):
        return torch.full_like(before.distance.detach(), FAR)
    return torch.maximum(distance_to_surface(floor), before.distance.detach() + 1)


def _part_of(
    core: Bool[np.ndarray, "z y x"], mask: Bool[np.ndarray, "z y x"]
) -> Bool[np.ndarray, "z y x"]:
    """Return the connected part of a mask that holds a core of it."""
    parts, _ = ndimage.label(mask)  # pyright: ignore[reportGeneralTypeIssues]
    return parts == parts[core][0]


def _largest_part(mask: Bool[Tensor, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    parts, _ = ndimage.label(np.asarray(mask.cpu()))  # pyright: ignore[reportGeneralTypeIssues]
    return parts == 1 + np.bincount(parts.ravel())[1:].argmax()


def _widened(mask: Bool[np.ndarray, "z y x"]) -> Bool[np.ndarray, "z y x"]:
    return np.asarray(ndimage.binary_dilation(mask, iterations=RIM))


def truer(first: Field, second: Field, orbit: OrbitVideo, config: HollowConfig) -> Field:
    """Return the first field, or the second where it explains the frames clearly better.

    Only pixels well inside the object are asked at which the surfaces lie apart: silhouettes are
    blurred while voxels are large, and would drown the rest.
    """
    core = -F.max_pool2d(-orbit.alpha[:, None], 2 * EDGE + 1, 1, EDGE)[:, 0] > 0.95
    shown = [views_and_surface(field, orbit.cameras) for field in (first, second)]
    surfaces = [surface for _, surface in shown]
    way = (surfaces[0].points - surfaces[1].points).norm(dim=-1)
    asked = core & surfaces[0].hit & surfaces[1].hit & (way > APART * first.voxel)
    if not bool(asked.any()):
        return first
    errors = [_error(seen, orbit, asked) for seen, _ in shown]
    return second if errors[1] * 10 ** (config.margin_db / 10) < errors[0] else first


def _error(seen: OrbitVideo, orbit: OrbitVideo, asked: Bool[Tensor, "view height width"]) -> float:
    """Return the squared differences of colours and, where the video has them, of normals."""
    error = float((seen.albedo - orbit.albedo)[asked].square().sum())
    if orbit.normals is not None and seen.normals is not None:
        # As pictures of normals have them: a component's range is 2, a colour's 1.
        error += 0.25 * float((seen.normals - orbit.normals)[asked].square().sum())
    return error
