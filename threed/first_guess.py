"""What outlines say of where a thing stands before anything is known of cameras, and how large."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from threed.agreement import shrink
from threed.cameras import Cameras, camera_rays
from threed.errors import RequestError
from threed.pose_refinement import WAVES, Turn

REFINED_SIDE = 128
"""Outlines are looked at in pictures of this size, pixels."""
MARGIN = 1.03
"""How far the unit sphere stands off the widest silhouette."""


def first_guess(
    frames: Float[Tensor, "frame height width 4"], times: Float[Tensor, " frame"], fov_y: float
) -> Turn:
    """Return a turn of no angle at level height whose cameras see its centre where the object is.

    Its distance makes the widest silhouette touch the unit sphere.

    Args:
        frames: Premultiplied RGBA.
        times: When each was taken, 0 at the first and 1 at the last.
        fov_y: The frames' vertical field of view, radians.

    Raises:
        RequestError: Nothing hides what is behind it.
    """
    frames = shrink(frames, REFINED_SIDE)
    height, width = frames.shape[1:3]
    focal = 0.5 * height / math.tan(0.5 * fov_y)
    alpha = frames[..., 3]
    # Averaged over a whole turn, silhouettes lie evenly to both sides of the axis.
    columns = torch.arange(width) + 0.5
    centre_x = float((alpha.sum(dim=(0, 1)) * columns).sum() / alpha.sum())
    shown = alpha.amax(dim=0) > 0.5
    if not bool(shown.any()):
        raise RequestError(
            "the clip is nearly transparent throughout: an object that hides what is behind it is "
            "needed"
        )
    rows = shown.any(dim=1).nonzero()[:, 0]
    centre_y = 0.5 * float(rows[0] + rows[-1] + 1)
    right, up = (centre_x - 0.5 * width) / focal, (0.5 * height - centre_y) / focal
    row, column = shown.nonzero().unbind(dim=1)
    rays = torch.stack(
        [(column + 0.5 - 0.5 * width) / focal, (0.5 * height - row - 0.5) / focal], dim=-1
    )
    rays = F.normalize(F.pad(rays, (0, 1), value=1.0), dim=-1)
    centre = F.normalize(torch.tensor([right, up, 1.0]), dim=0)
    widest = math.acos(min(1.0, float((rays @ centre).min())))
    # An object to the right is seen by a camera that looks to its left.
    view = [-math.atan(up), math.atan(right), 0.0]
    return Turn(
        times=times,
        shape=torch.tensor([0.0, 0.0, *view, math.log(focal)]),
        waves=torch.zeros(WAVES, 2),
        motions=torch.zeros(len(times), 6),
        radius=1 / (MARGIN * math.sin(widest) * focal),
        width=width,
        height=height,
    )


def in_unit_sphere(cameras: Cameras, frames: Float[Tensor, "frame height width 4"]) -> Cameras:
    """Return cameras of the frames' size, scaled such that all outlines fit the unit sphere."""
    size = {"width": frames.shape[2], "height": frames.shape[1]}
    cameras = replace(cameras, **size)
    origins, directions = camera_rays(cameras)
    passing = torch.linalg.cross(origins, directions).norm(dim=-1)[frames[..., 3] > 0.5]
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] /= MARGIN * float(passing.max())
    return replace(cameras, c2w=c2w)
