"""How well a clip's pictures agree under cameras: a coarse hull, and colours carried over it.

Under wrong cameras the hull lacks parts that the pictures show, and what it carries from frame to
frame lands on other colours. Nothing here has a slope; it tells good guesses from bad ones.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import Cameras, camera_rays, project

JUDGED_SIDE = 64
"""Pictures are judged at this size, pixels."""
GRID = 40
RAY_STEPS = 64
JUDGED_STRIDE = 2
"""Of the judged frames all carve, every second one is compared."""
APART = 3.0
"""The clip's ends are no neighbours if they stand so many times farther apart than neighbours."""


def carve(
    alpha: Float[Tensor, "view height width"], cameras: Cameras
) -> Float[Tensor, "plane row column"]:
    """Return a coarse visual hull on [-1, 1]^3, z outermost: the least alpha that any view has."""
    axis = (torch.arange(GRID) + 0.5) * (2 / GRID) - 1
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    pixels, _ = project(points, cameras)
    least = torch.ones(len(points))
    # Half a pixel wider, so that thin parts outlive a coarse grid and a small error of the pose.
    alpha = 0.5 * (alpha + F.max_pool2d(alpha[None], 3, 1, 1)[0])
    for picture, place in zip(alpha, pixels, strict=True):
        least = torch.minimum(least, _sample(picture[..., None], place)[:, 0])
    return least.view(GRID, GRID, GRID)


def misfit(frames: Float[Tensor, "frame height width 4"], cameras: Cameras) -> float:
    """Return how badly a turn's pictures agree under cameras, 0 is perfect.

    Each pixel of the object counts 1 where the hull has no surface behind it, else the difference
    of its colour from where that surface is seen in the frames before and after.
    """
    hull = carve(frames[..., 3], cameras)
    # Of a turn that is not whole, the first frame follows on no other.
    place = cameras.c2w[:, :3, 3]
    gaps = (place.roll(-1, dims=0) - place).norm(dim=-1)
    whole = float(gaps[-1]) < APART * float(gaps[:-1].median())
    origins, directions = camera_rays(cameras)
    steps = torch.linspace(-1, 1, RAY_STEPS)
    total, weight = 0.0, 0.0
    for view in range(0, len(frames), JUDGED_STRIDE):
        shown = frames[view, ..., 3] > 0.7
        origin, direction = origins[view][shown], directions[view][shown]
        # Depth runs through the unit sphere, measured from the point nearest to its centre.
        middle = -(origin * direction).sum(dim=-1, keepdim=True)
        points = origin[:, None] + direction[:, None] * (middle + steps)[..., None]
        inside = (
            F.grid_sample(hull[None, None], points[None, None], align_corners=False)[0, 0, 0] > 0.4
        )
        hit = inside.any(dim=1)
        first = inside.int().argmax(dim=1)
        surface = points[torch.arange(len(points)), first]
        colour = frames[view][shown]
        error = torch.zeros(len(points))
        before, after = (view - 1) % len(frames), (view + 1) % len(frames)
        if not whole:
            before, after = (after if view == 0 else before), min(view + 1, len(frames) - 2)
        for other in (before, after):
            place, _ = project(surface, cameras[[other]])
            error += 0.5 * (_sample(frames[other], place[0]) - colour).abs().mean(dim=-1)
        total += float(torch.where(hit, error, torch.ones_like(error)).sum())
        weight += len(points)
    return total / max(weight, 1.0)


def _sample(
    picture: Float[Tensor, "height width channel"], place: Float[Tensor, "point 2"]
) -> Float[Tensor, "point channel"]:
    size = place.new_tensor([picture.shape[1], picture.shape[0]])
    grid = (2 * place / size - 1)[None, None]
    out = F.grid_sample(rearrange(picture, "h w c -> 1 c h w"), grid, align_corners=False)
    return out[0, :, 0].T


def shrink(
    frames: Float[Tensor, "frame height width 4"], side: int
) -> Float[Tensor, "frame rows columns 4"]:
    """Return frames averaged down so that the longer side is at most `side`."""
    height, width = frames.shape[1:3]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(rearrange(frames, "f h w c -> f c h w"), size, mode="area")
    return rearrange(small, "f c h w -> f h w c")
