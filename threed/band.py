"""Values of the distance's grid at samples, by linear maps of the few vertices about them."""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from threed.field import Field
from threed.kernels import in_parts
from threed.kernels.grid import (
    combine,
    combine_back,
    differences,
    differences_back,
    mark,
    renumber,
    surround,
)


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
    if points.device.type != "cpu":
        return _interpolation(field, points)
    weights = points.new_empty(len(points), 8)
    index = torch.empty(weights.shape, dtype=torch.int32)
    places = ((points - field.lower) / field.voxel).contiguous().numpy()
    rows, shape = (places, index.numpy(), weights.numpy()), tuple(field.distance.shape)
    in_parts(lambda part: surround(rows[0][part], shape, rows[1][part], rows[2][part]), len(places))
    return SparseMap(index=index, weights=weights)


def _interpolation(field: Field, points: Float[Tensor, "sample 3"]) -> SparseMap:
    """Do what `interpolation` does, for any device."""
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
        if device.type == "cpu":
            mark(each.index.numpy(), used.numpy())
        else:
            used[each.index.flatten().long()] = True
    vertices = used.nonzero()[:, 0]
    number = torch.zeros(len(used), dtype=torch.int32, device=device)
    number[vertices] = torch.arange(len(vertices), dtype=torch.int32, device=device)
    moved = [SparseMap(index=_renumbered(m.index, number), weights=m.weights) for m in maps]
    return Band(vertices=vertices, resolution=field.config.resolution), moved


def _renumbered(index: Int[Tensor, "row term"], number: Int[Tensor, " vertex"]) -> Tensor:
    if index.device.type != "cpu":
        return number[index.long()]
    out = torch.empty_like(index)
    arrays, numbers = (index.numpy(), out.numpy()), number.numpy()
    in_parts(lambda part: renumber(arrays[0][part], numbers, arrays[1][part]), len(index))
    return out
