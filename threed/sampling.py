"""Samples along rays, kept only near the surface, and the values of a grid at them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from threed.field import Field
from threed.kernels import in_parts
from threed.kernels.grid import combine, combine_back, differences, differences_back
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


@dataclass(frozen=True, kw_only=True)
class SparseMap:
    """A linear map with a few weights a row, which do not learn.

    A fit multiplies it and its transpose again and again while the points stay where they are;
    that is far faster than sampling a grid anew.
    """

    index: Int[Tensor, "row term"]
    """Columns, int32."""
    weights: Float[Tensor, "row term"]

    def __call__(self, table: Float[Tensor, "column channel"]) -> Float[Tensor, "row channel"]:
        """Return the weighted sums of the table's rows, with gradients for the table."""
        if table.device.type == "cpu" and table.shape[1] == 4:
            return _SparseProduct.apply(table, self)
        return F.embedding_bag(
            self.index.long(), table, per_sample_weights=self.weights, mode="sum"
        )


class _SparseProduct(torch.autograd.Function):
    """On a CPU torch has no fast product with a transpose."""

    @staticmethod
    def forward(ctx, table: Tensor, operator: SparseMap) -> Tensor:
        ctx.operator, ctx.shape = operator, table.shape
        out = table.new_empty(len(operator.index), table.shape[1])
        index, weights, filled = operator.index.numpy(), operator.weights.numpy(), out.numpy()
        rows = table.detach().contiguous().numpy()
        in_parts(lambda part: combine(index[part], weights[part], rows, filled[part]), len(out))
        return out

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None]:
        operator, table = ctx.operator, grad.new_zeros(ctx.shape)
        combine_back(
            operator.index.numpy(),
            operator.weights.numpy(),
            grad.contiguous().numpy(),
            table.numpy(),
        )
        return table, None


def interpolation(field: Field, points: Float[Tensor, "sample 3"]) -> SparseMap:
    """Return trilinear interpolation on the field's grid; points outside take the border."""
    width, height, depth = field.config.resolution
    last = points.new_tensor([width - 1, height - 1, depth - 1])
    local = ((points - field.lower) / field.voxel).clamp(min=0).minimum(last)
    cell = torch.minimum(local.floor(), last - 1)
    part = local - cell
    x, y, z = cell.int().unbind(-1)
    base = (z * height + y) * width + x
    corners = [(dz * height + dy) * width + dx for dz in (0, 1) for dy in (0, 1) for dx in (0, 1)]
    share = torch.stack([1 - part, part], dim=-1)
    weights = share[:, 2, :, None, None] * share[:, 1, None, :, None] * share[:, 0, None, None, :]
    index = base[:, None] + torch.tensor(corners, dtype=torch.int32, device=base.device)
    return SparseMap(index=index, weights=weights.reshape(-1, 8))


@dataclass(frozen=True, kw_only=True)
class Band:
    """The grid's vertices that samples need."""

    vertices: Int[Tensor, " vertex"]
    """Flat indices, ascending."""
    resolution: tuple[int, int, int]
    """Vertices of the grid along x, y and z."""

    def values(self, field: Field) -> tuple[Float[Tensor, "vertex 4"], Float[Tensor, "vertex 3"]]:
        """Return distance and gradient (one table, in voxels), and the second differences."""
        if field.distance.device.type == "cpu":
            return _Differences.apply(field.distance, self.vertices)
        return self.differences(field.distance)

    def differences(
        self, distance: Float[Tensor, "depth height width"]
    ) -> tuple[Float[Tensor, "vertex 4"], Float[Tensor, "vertex 3"]]:
        """Do what `values` does, for any device."""
        picked = self._stencil(distance.reshape(-1, 1)).reshape(-1, 7)
        here, before, after = picked[:, :1], picked[:, 1:4], picked[:, 4:]
        return torch.cat([here, 0.5 * (after - before)], dim=-1), before + after - 2 * here

    @cached_property
    def _stencil(self) -> SparseMap:
        """Picks, a vertex, its own value and those before and after it along x, y and z."""
        width, height, depth = self.resolution
        vertices = self.vertices
        places = (vertices % width, vertices // width % height, vertices // (width * height))
        stride = (1, width, width * height)
        # On the border a neighbour that is not there is the vertex itself.
        before = [vertices - s * (place > 0) for s, place in zip(stride, places, strict=True)]
        after = [
            vertices + s * (place < n - 1)
            for s, place, n in zip(stride, places, (width, height, depth), strict=True)
        ]
        index = torch.stack([vertices, *before, *after], dim=-1).reshape(-1, 1).int()
        return SparseMap(index=index, weights=torch.ones_like(index, dtype=torch.float32))


class _Differences(torch.autograd.Function):
    """What `Band.differences` does, in one pass there and one back."""

    @staticmethod
    def forward(ctx, distance: Tensor, vertices: Tensor) -> tuple[Tensor, Tensor]:
        ctx.vertices, ctx.shape = vertices, distance.shape
        table, bend = distance.new_empty(len(vertices), 4), distance.new_empty(len(vertices), 3)
        grid = distance.detach().contiguous().numpy()
        arrays = (vertices.numpy(), table.numpy(), bend.numpy())
        in_parts(lambda part: differences(grid, *(a[part] for a in arrays)), len(vertices))
        return table, bend

    @staticmethod
    def backward(ctx, table: Tensor, bend: Tensor) -> tuple[Tensor, None]:
        distance = table.new_zeros(ctx.shape)
        differences_back(
            ctx.vertices.numpy(),
            table.contiguous().numpy(),
            bend.contiguous().numpy(),
            distance.numpy(),
        )
        return distance, None


def narrow_band(field: Field, maps: list[SparseMap]) -> tuple[Band, list[SparseMap]]:
    """Return the vertices that several maps need, and the maps onto those vertices alone."""
    device = field.distance.device
    used = torch.zeros(field.distance.numel(), dtype=torch.bool, device=device)
    for each in maps:
        used[each.index.flatten().long()] = True
    vertices = used.nonzero()[:, 0]
    number = torch.zeros(len(used), dtype=torch.int32, device=device)
    number[vertices] = torch.arange(len(vertices), dtype=torch.int32, device=device)
    moved = [SparseMap(index=number[m.index.long()], weights=m.weights) for m in maps]
    return Band(vertices=vertices, resolution=field.config.resolution), moved
