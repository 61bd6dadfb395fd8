"""A small scene for whatever looks at turntables: opaque balls, cast ray by ray."""

import math

import torch
from einops import rearrange
from torch.nn import functional as F

from threed.cameras import Cameras, camera_rays, orbit_cameras

# An object without symmetry: balls of different sizes and colours, x y z radius and colour.
BALLS = torch.tensor(
    [
        [0.0, 0.0, 0.0, 0.45, 0.8, 0.7, 0.2],
        [0.45, 0.2, 0.1, 0.25, 0.8, 0.1, 0.1],
        [-0.2, 0.5, 0.3, 0.2, 0.1, 0.2, 0.8],
        [-0.3, -0.4, -0.45, 0.22, 0.1, 0.7, 0.3],
        [0.1, -0.5, 0.4, 0.18, 0.4, 0.1, 0.6],
    ]
)


def balls(
    cameras: Cameras, shapes: torch.Tensor = BALLS, texture: torch.Tensor | None = None
) -> torch.Tensor:
    """Premultiplied RGBA of opaque balls, cast ray by ray, 2 x 2 samples a pixel.

    A texture is a block of colours, `3 depth height width`, that the balls are cut from.
    """
    fine = Cameras(
        c2w=cameras.c2w, fov_y=cameras.fov_y, width=2 * cameras.width, height=2 * cameras.height
    )
    origins, directions = camera_rays(fine)
    nearest = torch.full(origins.shape[:-1], torch.inf)
    image = torch.zeros(*origins.shape[:-1], 4)
    for ball in shapes:
        offset = ball[:3] - origins
        along = (offset * directions).sum(dim=-1)
        room = ball[3] ** 2 - offset.square().sum(dim=-1) + along.square()
        depth = torch.where(room > 0, along - room.clamp(min=0).sqrt(), torch.inf)
        closer = depth < nearest
        nearest = torch.where(closer, depth, nearest)
        image[closer] = torch.cat([ball[4:], torch.ones(1)])
        if texture is not None:
            point = (origins + depth[..., None] * directions)[closer]
            cut = F.grid_sample(texture[None], point[None, None, None], align_corners=False)
            image[closer, :3] = cut[0, :, 0, 0].T
    return rearrange(image, "f (h a) (w b) c -> f h w (a b) c", a=2, b=2).mean(dim=3)


def turn(num_frames: int = 16, elevation_deg: float = 15.0, fov_deg: float = 40.0) -> torch.Tensor:
    elevation, fov = math.radians(elevation_deg), math.radians(fov_deg)
    cameras = orbit_cameras(num_frames, size=64, elevation=elevation, fov_y=fov)
    return balls(cameras)
