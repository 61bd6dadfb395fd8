"""Samples along rays, kept only near the surface."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from threed.field import Field
from threed.kernels import in_parts
from threed.kernels.rays import walk

# Positions tried at once; bounds the memory of a march.
MARCH_CHUNK = 4_000_000
# Samples of which only the middle is looked up where the surface is far.
CELL = 4
# How wrong the distance of the nearest vertex may be, voxels: half a voxel's diagonal at both ends.
LOOKUP_ERROR = 3**0.5


@dataclass(frozen=True, kw_only=True)
class RaySamples:
    """Positions on many rays, packed one ray after another, front to back.

    Two neighbours bound an interval where `joined` is set; elsewhere empty space, solid matter or
    the next ray follows. The last one is never joined.
    """

    points: Float[Tensor, "sample 3"]
    """World positions."""
    ray: Int[Tensor, " sample"]
    """Index of each sample's ray, ascending."""
    joined: Bool[Tensor, " sample"]
    """Whether an interval reaches from this sample to the next."""
    starts: Int[Tensor, " bound"]
    """Index of each ray's first sample, and the number of samples; empty rays take no room."""

    def __len__(self) -> int:
        return self.points.shape[0]


def march(
    field: Field,
    origins: Float[Tensor, "ray 3"],
    directions: Float[Tensor, "ray 3"],
    *,
    band: float,
    step: float,
    generator: torch.Generator | None,
) -> RaySamples:
    """Return evenly spaced samples wherever a ray is near the surface and not yet deep inside.

    Args:
        field: Its distance decides; no gradient is taken.
        origins: World positions.
        directions: Unit vectors.
        band: Greatest distance from the surface, voxels.
        step: Spacing, voxels.
        generator: Shifts each ray's samples by a random part of a step; None shifts by half.
    """
    near, far = box_interval(field, origins, directions)
    length = step * float(field.voxel)
    if generator is None:
        shift = torch.full_like(near, 0.5)
    else:
        shift = torch.rand(near.shape, generator=generator).to(near)
    start, stop = near + (shift - 1) * length, far + length
    walk_all = _walk_rays if near.device.type == "cpu" else _walk_cells
    ray, order = walk_all(field, origins, directions, start, stop, band, length)
    joined = torch.zeros_like(ray, dtype=torch.bool)
    joined[:-1] = (ray[1:] == ray[:-1]) & (order[1:] == order[:-1] + 1)
    points = origins[ray] + (start[ray] + length * order)[:, None] * directions[ray]
    starts = torch.searchsorted(ray, torch.arange(len(near) + 1, device=ray.device))
    return RaySamples(points=points, ray=ray, joined=joined, starts=starts)


def _walk_rays(
    field: Field,
    origins: Float[Tensor, "ray 3"],
    directions: Float[Tensor, "ray 3"],
    start: Float[Tensor, " ray"],
    stop: Float[Tensor, " ray"],
    band: float,
    length: float,
) -> tuple[Int[Tensor, " sample"], Int[Tensor, " sample"]]:
    """Return each sample's ray and its place on it, one ray after another."""
    rays = (start, stop, (origins - field.lower) / field.voxel + 0.5, directions / field.voxel)
    start_at, stop_at, places, slopes = (values.contiguous().numpy() for values in rays)
    distance, voxel = field.distance.detach().numpy(), float(field.voxel)

    def walk_part(part: slice) -> tuple[np.ndarray, np.ndarray]:
        rays = (places[part], slopes[part], start_at[part], stop_at[part])
        scales = (np.float32(x) for x in (length, length / voxel, band, LOOKUP_ERROR))
        return walk(distance, *rays, *scales)

    orders, counts = zip(*in_parts(walk_part, len(origins)), strict=True)
    counts = torch.from_numpy(np.concatenate(counts))
    ray = torch.arange(len(origins)).repeat_interleave(counts)
    return ray, torch.from_numpy(np.concatenate(orders))


def _walk_cells(
    field: Field,
    origins: Float[Tensor, "ray 3"],
    directions: Float[Tensor, "ray 3"],
    start: Float[Tensor, " ray"],
    stop: Float[Tensor, " ray"],
    band: float,
    length: float,
) -> tuple[Int[Tensor, " sample"], Int[Tensor, " sample"]]:
    """Do what `_walk_rays` does, for many rays at once, as a GPU wants it."""
    num_steps = int(torch.ceil((stop - start).max().clamp(min=0) / length)) + 1
    parts = []
    for rows in torch.arange(len(start)).split(max(1, CELL * MARCH_CHUNK // num_steps)):
        part = slice(int(rows[0]), int(rows[-1]) + 1)
        ray, order = _walk_chunk(
            field,
            origins[part],
            directions[part],
            start[part],
            stop[part],
            band,
            length,
            num_steps,
        )
        parts.append((ray + part.start, order))
    ray, order = (torch.cat(column) for column in zip(*parts, strict=True))
    return ray, order


def _walk_chunk(
    field: Field,
    origins: Tensor,
    directions: Tensor,
    start: Tensor,
    stop: Tensor,
    band: float,
    length: float,
    num_steps: int,
) -> tuple[Tensor, Tensor]:
    cells = torch.arange(-(-num_steps // CELL), device=start.device)
    middle = start[:, None] + length * (CELL * cells + 0.5 * (CELL - 1))
    distance = nearest_distance(field, origins, directions, middle)
    # Half a cell, and the sample beside the band that closes its last interval.
    reach = 0.5 * (CELL + 1) * length / float(field.voxel) + LOOKUP_ERROR
    hidden = (distance < -band - reach).cumsum(dim=1, dtype=torch.int16) > 0
    ahead = middle - (0.5 * CELL + 1) * length < stop[:, None]
    ray, cell = ((distance.abs() < band + reach) & ~hidden & ahead).nonzero(as_tuple=True)

    order = CELL * cell[:, None] + torch.arange(CELL, device=start.device)
    along = start[ray, None] + length * order
    distance = nearest_distance(field, origins[ray], directions[ray], along)
    within = along < stop[ray, None]
    close = ((distance.abs() < band) & within).flatten()
    solid = ((distance < -band) & within).flatten()
    ray, order = ray.repeat_interleave(CELL), order.flatten()
    follows = (ray[1:] == ray[:-1]) & (order[1:] == order[:-1] + 1)
    # One sample more on either side, so that every interval which touches the band is whole.
    kept = close.clone()
    kept[:-1] |= close[1:] & follows
    kept[1:] |= close[:-1] & follows
    # Nothing is seen behind the first solid sample of a ray.
    count = solid.cumsum(dim=0)
    first = torch.ones_like(solid)
    first[1:] = ray[1:] != ray[:-1]
    before = (count - solid.long())[first][first.cumsum(dim=0) - 1]
    kept &= count - before <= 1
    return ray[kept], order[kept]


def box_interval(
    field: Field, origins: Float[Tensor, "ray 3"], directions: Float[Tensor, "ray 3"]
) -> tuple[Float[Tensor, " ray"], Float[Tensor, " ray"]]:
    """Return where each ray enters and leaves the field's box; far < near where it misses it."""
    box = field.box
    # A ray along an axis divides by zero; the infinities that follow sort themselves out.
    safe = torch.where(directions.abs() < 1e-12, torch.full_like(directions, 1e-12), directions)
    first, second = (box[0] - origins) / safe, (box[1] - origins) / safe
    near = torch.minimum(first, second).amax(dim=-1).clamp(min=0)
    far = torch.maximum(first, second).amin(dim=-1)
    return near, far


def nearest_distance(
    field: Field,
    origins: Float[Tensor, "ray 3"],
    directions: Float[Tensor, "ray 3"],
    along: Float[Tensor, "ray sample"],
) -> Float[Tensor, "ray sample"]:
    """Return the distance, in voxels, of the grid vertex nearest to each point along rays."""
    start = (origins - field.lower) / field.voxel + 0.5
    slope = directions / field.voxel
    index: Tensor | int = 0
    # From z to x, one axis at a time: the points themselves would be three times the memory.
    for axis in (2, 1, 0):
        count = field.config.resolution[axis]
        place = torch.addcmul(start[:, axis, None], slope[:, axis, None], along)
        index = index * count + place.clamp_(0, count - 1).int()
    return field.distance.detach().flatten()[index]
