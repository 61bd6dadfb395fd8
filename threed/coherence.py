"""Cameras made to agree with outlines: no ray of one view's outline may miss the others' hull.

Hernandez, Schmitt and Cipolla, "Silhouette Coherence for Camera Calibration under Circular Motion"
(PAMI 2007): if the cameras are right, each ray through a silhouette's edge touches the object, so
somewhere along it every other view sees the object too. Here the shortfall is a length: the best,
along the ray, of the least signed distance from the other views' outlines, in pixels, where that is
outside. It is brought down by Gauss-Newton steps; a ray's best point lies where two views' limits
cross, and both move it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.measure import find_contours
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import Cameras

NEAR = 6.0
"""Distances from an outline below this are exact, pixels."""
CORNER = 0.08
"""Roundness of the corner where a ray begins to fall short, pixels."""
COARSE_DEPTHS = 40
FINE_DEPTHS = 11


@dataclass(frozen=True, kw_only=True)
class Outlines:
    """Where each view's object ends."""

    distance: Float[Tensor, "view row column"]
    """Signed distance from the outline, pixels of the frames, positive inside, at pixel centres."""
    view: Int[Tensor, " point"]
    """Which view a point of the outline is of."""
    pixel: Float[Tensor, "point 2"]
    """Points of the outlines, pixels, x right and y down."""

    def select(self, index: list[int]) -> "Outlines":
        """Return the outlines of the chosen views only."""
        number = torch.full((len(self.distance),), -1)
        number[index] = torch.arange(len(index))
        view = number[self.view]
        return Outlines(
            distance=self.distance[index], view=view[view >= 0], pixel=self.pixel[view >= 0]
        )

    def at(
        self, view: Int[Tensor, " place"], pixel: Float[Tensor, "place 2"]
    ) -> tuple[Float[Tensor, " place"], Float[Tensor, "place 2"]]:
        """Return the signed distance at pixels of views, and its slope."""
        rows, columns = self.distance.shape[1:]
        x = (pixel[:, 0] - 0.5).clamp(0, columns - 1.001)
        y = (pixel[:, 1] - 0.5).clamp(0, rows - 1.001)
        column, row = x.floor().long(), y.floor().long()
        u, v = x - column, y - row
        flat = self.distance.reshape(-1)
        corner = (view * rows + row) * columns + column
        a, b = flat[corner], flat[corner + 1]
        c, d = flat[corner + columns], flat[corner + columns + 1]
        value = (1 - v) * ((1 - u) * a + u * b) + v * ((1 - u) * c + u * d)
        slope_x = (1 - v) * (b - a) + v * (d - c)
        slope_y = (1 - u) * (c - a) + u * (d - b)
        return value, torch.stack([slope_x, slope_y], dim=-1)


def outlines(alpha: Float[Tensor, "view height width"], points_a_view: int) -> Outlines:
    """Return the outlines of mattes; those cut off by the frame's edge have no points there."""
    height, width = alpha.shape[1:]
    distances, views, pixels = [], [], []
    for view, picture in enumerate(alpha.numpy()):
        lines = find_contours(picture, 0.5)
        distances.append(_signed_distance(picture, lines))
        if not lines:
            continue
        place = np.concatenate(lines)[:, ::-1] + 0.5
        # The frame's own edge is no outline.
        inward = (place > 1.6).all(axis=1) & (place < [width - 1.6, height - 1.6]).all(axis=1)
        place = place[inward]
        chosen = np.linspace(0, len(place), min(points_a_view, len(place)), endpoint=False)
        pixels.append(place[chosen.astype(int)])
        views.append(np.full(len(pixels[-1]), view))
    return Outlines(
        distance=torch.from_numpy(np.stack(distances)).float(),
        view=torch.from_numpy(np.concatenate(views)).long(),
        pixel=torch.from_numpy(np.concatenate(pixels)).float(),
    )


def _signed_distance(
    picture: Float[np.ndarray, "height width"], lines: list[np.ndarray]
) -> Float[np.ndarray, "height width"]:
    """Return each pixel centre's distance from the lines where alpha is a half, positive inside."""
    inside = picture > 0.5
    if not lines:
        return np.full(picture.shape, -float(sum(picture.shape)))
    # Distances between pixel centres are half a pixel's worth of noise; near the outline, where
    # it counts, they are measured to the line itself.
    outer = np.asarray(ndimage.distance_transform_edt(~inside))
    inner = np.asarray(ndimage.distance_transform_edt(inside))
    signed = np.where(inside, inner - 0.5, 0.5 - outer)
    dense = [
        line[:-1] + share * np.diff(line, axis=0)
        for line in lines
        for share in (0, 0.25, 0.5, 0.75)
    ]
    near = np.abs(signed) < NEAR
    exact, _ = KDTree(np.concatenate(dense)).query(np.argwhere(near))
    signed[near] = np.where(inside[near], exact, -exact)
    return signed


@dataclass(frozen=True, kw_only=True)
class Shortfall:
    """By how much each outline's ray misses the hull of the other views."""

    residual: Float[Tensor, " point"]
    """Pixels, none positive."""
    by_pose: Float[Tensor, "point 3 6"]
    """Its change with the small motions (turn, shift) of three cameras in their own axes."""
    camera: Int[Tensor, "point 3"]
    """Which cameras these are: the ray's own and the two whose limits meet."""
    by_log_focal: Float[Tensor, " point"]
    """Its change with the logarithm of the common focal length."""


def shortfall(lines: Outlines, cameras: Cameras) -> Shortfall:
    """Return each ray's shortfall under cameras and how it changes with them."""
    depth, first, second, share = _best_depth(lines, cameras)
    residual = torch.zeros(len(depth))
    by_pose = torch.zeros(len(depth), 3, 6)
    by_log_focal = torch.zeros(len(depth))
    local = _local_rays(lines, cameras) * depth[:, None]
    rotation, position = cameras.c2w[:, :3, :3], cameras.c2w[:, :3, 3]
    own = rotation[lines.view]
    point = torch.einsum("pij,pj->pi", own, local) + position[lines.view]
    stretched = local * local.new_tensor([-1.0, -1.0, 0.0])
    for slot, view, part in ((1, first, share), (2, second, 1 - share)):
        other = rotation[view]
        seen = torch.einsum("pji,pj->pi", other, point - position[view])
        pixel, by_seen = _projected(seen, cameras)
        value, slope = lines.at(view, pixel)
        gradient = torch.einsum("pi,pij->pj", slope, by_seen)
        by_point = torch.einsum("pij,pj->pi", other, gradient)
        by_local = torch.einsum("pji,pj->pi", own, by_point)
        residual += part * value
        # The own camera carries the point with it: p + turn x p + shift.
        carried = torch.cat([torch.linalg.cross(local, by_local), by_local], dim=-1)
        # The other sees it move the other way.
        passed = torch.cat([torch.linalg.cross(gradient, seen), -gradient], dim=-1)
        by_pose[:, 0] += part[:, None] * carried
        by_pose[:, slot] = part[:, None] * passed
        centre = pixel.new_tensor([0.5 * cameras.width, 0.5 * cameras.height])
        zoom = (slope * (pixel - centre)).sum(dim=-1) + (by_local * stretched).sum(dim=-1)
        by_log_focal += part * zoom
    # A hinge with a rounded corner, or rays that are about to fall short would have no slope.
    missed = torch.sigmoid(-residual / CORNER)
    return Shortfall(
        residual=-CORNER * F.softplus(-residual / CORNER),
        by_pose=by_pose * missed[:, None, None],
        camera=torch.stack([lines.view, first, second], dim=-1),
        by_log_focal=by_log_focal * missed,
    )


def _local_rays(lines: Outlines, cameras: Cameras) -> Float[Tensor, "point 3"]:
    """Return the outlines' rays in their cameras' axes, one unit deep."""
    focal = cameras.focal[lines.view]
    x = (lines.pixel[:, 0] - 0.5 * cameras.width) / focal
    y = (0.5 * cameras.height - lines.pixel[:, 1]) / focal
    return torch.stack([x, y, -torch.ones_like(x)], dim=-1)


def _projected(
    seen: Float[Tensor, "point 3"], cameras: Cameras
) -> tuple[Float[Tensor, "point 2"], Float[Tensor, "point 2 3"]]:
    """Return pixels of points in a camera's axes, and their change with the points."""
    focal = cameras.focal[0]
    depth = (-seen[:, 2]).clamp(min=1e-3)
    x, y = seen[:, 0] / depth, seen[:, 1] / depth
    pixel = torch.stack([0.5 * cameras.width + focal * x, 0.5 * cameras.height - focal * y], dim=-1)
    zero = torch.zeros_like(x)
    by_seen = torch.stack(
        [
            torch.stack([focal / depth, zero, focal * x / depth], dim=-1),
            torch.stack([zero, -focal / depth, -focal * y / depth], dim=-1),
        ],
        dim=1,
    )
    return pixel, by_seen


def _best_depth(
    lines: Outlines, cameras: Cameras
) -> tuple[
    Float[Tensor, " point"], Int[Tensor, " point"], Int[Tensor, " point"], Float[Tensor, " point"]
]:
    """Return each ray's best depth, the two views that limit it there, and the first's part.

    Depth is measured along the camera's axis.
    """
    rays = _local_rays(lines, cameras)
    position = cameras.c2w[:, :3, 3]
    length = rays.norm(dim=-1)
    directions = torch.einsum("pij,pj->pi", cameras.c2w[lines.view, :3, :3], rays / length[:, None])
    middle = -(position[lines.view] * directions).sum(dim=-1) / length
    reach = 1.1 / length
    depths = middle[:, None] + reach[:, None] * torch.linspace(-1, 1, COARSE_DEPTHS)
    least, _ = _least(lines, cameras, rays, depths)
    best = least.argmax(dim=1)
    step = 2 * reach / (COARSE_DEPTHS - 1)
    around = depths.gather(1, best[:, None]) + step[:, None] * torch.linspace(-1, 1, FINE_DEPTHS)
    least, limit = _least(lines, cameras, rays, around)
    best = least.argmax(dim=1).clamp(1, FINE_DEPTHS - 2)[:, None]
    # To both sides of the best depth different views set the limit; the truth lies where they meet.
    low, high = (side.gather(1, best + move)[:, 0] for side, move in ((limit, -1), (limit, 1)))
    at = around.gather(1, best)[:, 0]
    before, after = at - step / (FINE_DEPTHS - 1), at + step / (FINE_DEPTHS - 1)
    value_low = [_value(lines, cameras, rays, depth, low) for depth in (before, after)]
    value_high = [_value(lines, cameras, rays, depth, high) for depth in (before, after)]
    rise, fall = value_low[1] - value_low[0], value_high[0] - value_high[1]
    crossing = (rise > 1e-4) & (fall > 1e-4) & (low != high)
    slopes = torch.where(crossing, rise + fall, torch.ones_like(rise))
    move = torch.where(
        crossing, (value_high[0] - value_low[0]) / slopes, torch.full_like(rise, 0.5)
    )
    share = torch.where(crossing, fall / slopes, torch.ones_like(rise))
    low = torch.where(crossing, low, limit.gather(1, best)[:, 0])
    return before + (after - before) * move.clamp(0, 1), low, high, share


def _value(
    lines: Outlines,
    cameras: Cameras,
    rays: Float[Tensor, "point 3"],
    depth: Float[Tensor, " point"],
    view: Int[Tensor, " point"],
) -> Float[Tensor, " point"]:
    own, other = cameras.c2w[lines.view], cameras.c2w[view]
    point = torch.einsum("pij,pj->pi", own[:, :3, :3], rays * depth[:, None]) + own[:, :3, 3]
    seen = torch.einsum("pji,pj->pi", other[:, :3, :3], point - other[:, :3, 3])
    return lines.at(view, _projected(seen, cameras)[0])[0]


def _least(
    lines: Outlines,
    cameras: Cameras,
    rays: Float[Tensor, "point 3"],
    depths: Float[Tensor, "point depth"],
) -> tuple[Float[Tensor, "point depth"], Int[Tensor, "point depth"]]:
    """Return the least distance inside the other views' outlines at depths, and which view's."""
    own = cameras.c2w[lines.view]
    directions = torch.einsum("pij,pj->pi", own[:, :3, :3], rays)
    # Pixels to [-1, 1]: half the frame is one.
    scale = 2 * float(cameras.focal[0])
    least = torch.full(depths.shape, torch.inf)
    limit = torch.zeros(depths.shape, dtype=torch.long)
    for view, c2w in enumerate(cameras.c2w):
        start = ((own[:, :3, 3] - c2w[:3, 3]) @ c2w[:3, :3]).unsqueeze(-1)
        along = (directions @ c2w[:3, :3]).unsqueeze(-1)
        closeness = scale / (-start[:, 2] - along[:, 2] * depths).clamp_(min=1e-3)
        x = (start[:, 0] + along[:, 0] * depths) * (closeness / cameras.width)
        y = (start[:, 1] + along[:, 1] * depths) * (closeness / -cameras.height)
        # Beyond a frame its edge speaks: what is cut off there goes on, else there is nothing.
        grid = torch.stack([x, y], dim=-1)[None]
        value = F.grid_sample(
            lines.distance[view][None, None], grid, padding_mode="border", align_corners=False
        )[0, 0]
        value[lines.view == view] = torch.inf
        closer = value < least
        least = torch.where(closer, value, least)
        limit = torch.where(closer, view, limit)
    return least, limit
