"""Triangles to pixels: which face each pixel sees, where on it, and how far away.

No gradients. A GPU, on which training data is drawn, does it in plain torch; a CPU, which bakes
textures and turns previews, a pixel at a time. Both sides of a face are drawn; of two faces at one
place that wind either way, a sheet with two sides, the one that is turned to the camera. Faces that
reach behind a camera are dropped: an object inside the unit sphere never does from outside it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import Cameras, project

# Candidate (face, pixel) pairs that one chunk of views may hold on a GPU; bounds memory near 6 GB.
MAX_CANDIDATES = 60_000_000
# A face seen from behind counts as so much farther away: more than two depths of one place differ
# by rounding, and less than anything can be seen to lie behind another.
BEHIND = 1e-4


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """What each pixel's centre sees."""

    face: Int[Tensor, "view height width"]
    """Index of the nearest face, -1 where there is none."""
    barycentric: Float[Tensor, "view height width 3"]
    """Perspective-correct weights of the face's corners, zero on the background."""
    depth: Float[Tensor, "view height width"]
    """Distance along the view axis, world units; infinite on the background."""

    def interpolate(
        self, corners: Float[Tensor, "face 3 channel"]
    ) -> Float[Tensor, "view height width channel"]:
        """Return attributes given a corner of every face, blended by the barycentric weights."""
        out = corners.new_zeros(*self.face.shape, corners.shape[-1])
        hit = self.face >= 0
        out[hit] = torch.einsum("pk,pkc->pc", self.barycentric[hit], corners[self.face[hit]])
        return out


def rasterize(
    vertices: Float[Tensor, "vertex 3"], faces: Int[Tensor, "face 3"], cameras: Cameras
) -> Fragments:
    """Return the nearest face at every pixel centre of every view.

    Args:
        vertices: World positions.
        faces: Vertex indices of each triangle.
        cameras: The views; one image size.
    """
    num_views, height, width = len(cameras), cameras.height, cameras.width
    device = vertices.device
    pixels, depth = project(vertices, cameras)
    corner_xy = pixels[:, faces]
    corner_depth = depth[:, faces]
    low = (corner_xy.amin(dim=2) - 0.5).ceil()
    high = (corner_xy.amax(dim=2) - 0.5).floor()
    edge = high.new_tensor([width - 1, height - 1])
    low, high = low.clamp(min=0), torch.minimum(high, edge)
    extent = (high - low + 1).clamp(min=0)
    extent = extent * (corner_depth.amin(dim=2) > 0)[..., None]
    shape = (num_views, height, width)
    buffers = (
        torch.full(shape, -1, dtype=torch.long, device=device),
        vertices.new_zeros(*shape, 3),
        vertices.new_full(shape, torch.inf),
    )
    draw = _draw if device.type == "cpu" else _draw_chunks
    draw(corner_xy, corner_depth, low, extent, buffers)
    return Fragments(face=buffers[0], barycentric=buffers[1], depth=buffers[2])


def _draw(
    corner_xy: Float[Tensor, "view face 3 2"],
    corner_depth: Float[Tensor, "view face 3"],
    low: Float[Tensor, "view face 2"],
    extent: Float[Tensor, "view face 2"],
    buffers: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Draw all views into the buffers (face, barycentric, depth)."""
    # Here, for training draws on machines that have no numba.
    from threed.kernels import in_parts
    from threed.kernels.raster import draw

    arrays = (corner_xy, corner_depth, low, extent, *buffers)
    views, behind = [each.contiguous().numpy() for each in arrays], np.float32(1 + BEHIND)
    in_parts(lambda part: draw(*(each[part] for each in views), behind), len(views[0]), least=1)


def _draw_chunks(
    corner_xy: Float[Tensor, "view face 3 2"],
    corner_depth: Float[Tensor, "view face 3"],
    low: Float[Tensor, "view face 2"],
    extent: Float[Tensor, "view face 2"],
    buffers: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Do what `_draw` does, for many pixels at once, as a GPU wants it."""
    num_views, height, width = buffers[0].shape
    flat = (buffers[0].view(-1), buffers[1].view(-1, 3), buffers[2].view(-1))
    start = 0
    totals = extent.prod(dim=-1).long().sum(dim=1).cumsum(dim=0).tolist()
    while start < num_views:
        drawn = totals[start - 1] if start else 0
        stop = start + 1
        while stop < num_views and totals[stop] - drawn <= MAX_CANDIDATES:
            stop += 1
        views = slice(start, stop)
        _draw_chunk(
            corner_xy[views],
            corner_depth[views],
            low[views],
            extent[views],
            start,
            height,
            width,
            flat,
        )
        start = stop


def _draw_chunk(
    corner_xy: Float[Tensor, "view face 3 2"],
    corner_depth: Float[Tensor, "view face 3"],
    low: Float[Tensor, "view face 2"],
    extent: Float[Tensor, "view face 2"],
    first_view: int,
    height: int,
    width: int,
    buffers: tuple[Tensor, Tensor, Tensor],
) -> None:
    """Draw a chunk of views into the flat buffers (face, barycentric, depth)."""
    num_faces = corner_xy.shape[1]
    # One row a drawn triangle: three edge functions, affine in the pixel's place.
    a, b, c = corner_xy.flatten(0, 1).unbind(dim=1)
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    counts = extent.prod(dim=-1).long().flatten()
    row = ((counts > 0) & (area.abs() > 1e-9)).nonzero()[:, 0]
    a, b, c, area = a[row], b[row], c[row], area[row]
    corners = torch.stack([a, b, c], dim=1)
    begin, end = corners.roll(-1, dims=1), corners.roll(-2, dims=1)
    slope_x = (begin[..., 1] - end[..., 1]) / area[:, None]
    slope_y = (end[..., 0] - begin[..., 0]) / area[:, None]
    # The edge functions' values at the box's first pixel centre, relative for float32's sake.
    first = low.flatten(0, 1)[row] + 0.5
    offset = first[:, None] - begin
    base = slope_x * offset[..., 0] + slope_y * offset[..., 1]
    inverse_depth = 1 / corner_depth.flatten(0, 1)[row]
    # Rows count downwards, so corners that run counter-clockwise have a negative area.
    bias = torch.where(area > 0, 1 + BEHIND, 1.0)

    triangle = torch.repeat_interleave(counts[row])
    first_pair = counts[row].cumsum(0) - counts[row]
    order = torch.arange(len(triangle), device=row.device) - first_pair[triangle]
    box_width = extent.flatten(0, 1)[row, 0].long()[triangle]
    step_y = torch.div(order, box_width, rounding_mode="floor")
    step_x = order - step_y * box_width
    weights = base[triangle]
    weights += slope_x[triangle] * step_x[:, None]
    weights += slope_y[triangle] * step_y[:, None]
    inside = (weights.amin(dim=1) >= -1e-6).nonzero()[:, 0]
    triangle, weights = triangle[inside], weights[inside].clamp(min=0)
    step_x, step_y = step_x[inside], step_y[inside]

    weights = weights * inverse_depth[triangle]
    inverse = weights.sum(dim=1)
    depth = 1 / inverse
    corner_low = low.flatten(0, 1)[row].long()[triangle]
    drawn = row[triangle]
    view = torch.div(drawn, num_faces, rounding_mode="floor")
    pixel = ((first_view + view) * height + corner_low[:, 1] + step_y) * width
    pixel = pixel + corner_low[:, 0] + step_x

    face_out, bary_out, depth_out = buffers
    farness = depth * bias[triangle]
    depth_out.scatter_reduce_(0, pixel, farness, "amin")
    nearest = (farness == depth_out[pixel]).nonzero()[:, 0]
    pixel, face, depth = pixel[nearest], drawn[nearest] % num_faces, depth[nearest]
    # Faces at the very same depth: the highest index wins, whatever order the scatter runs in.
    face_out.scatter_reduce_(0, pixel, face, "amax")
    won = (face == face_out[pixel]).nonzero()[:, 0]
    bary_out[pixel[won]] = (weights[nearest] / inverse[nearest, None])[won]
    depth_out[pixel[won]] = depth[won]


def average_samples(
    image: Float[Tensor, "view height width channel"], samples: int
) -> Float[Tensor, "view rows columns channel"]:
    """Return the image shrunk by a whole factor, each pixel the mean of its samples."""
    pooled = F.avg_pool2d(rearrange(image, "v h w c -> v c h w"), samples)
    return rearrange(pooled, "v c h w -> v h w c")
