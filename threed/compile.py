"""Compiles what numba compiles, so that no fit has to wait for it: python -m threed.compile

It takes some twenty seconds once, and less than one where it has been done before.
"""

import torch

from threed.cameras import Cameras, orbit_cameras
from threed.field import Field, FieldConfig
from threed.fit import FitConfig, descend
from threed.progress import finish
from threed.rasterize import rasterize
from threed.render import render_views
from threed.targets import ray_targets

VERTICES = 12


def compile_kernels() -> None:
    """Call every kernel once, as a fit and a mesh do: of a small ball, seen by four cameras."""
    generator = torch.Generator().manual_seed(0)
    field = _ball()
    orbit = render_views(field, _cameras())
    config = FitConfig(num_steps=1, rays_a_step=64, steps_a_march=1, batches_a_march=1)
    finish(descend(field, [ray_targets(orbit)], orbit, config, generator, range(1)))
    corners = torch.tensor([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    rasterize(corners, torch.tensor([[0, 1, 2]]), _cameras())


def _ball() -> Field:
    config = FieldConfig(resolution=(VERTICES, VERTICES, VERTICES), colour_resolution=4)
    field = Field(config, torch.full((3,), -1.0), 2 / (VERTICES - 1))
    with torch.no_grad():
        places = torch.cartesian_prod(*[torch.arange(VERTICES) - (VERTICES - 1) / 2] * 3)
        field.distance.copy_((places.norm(dim=-1) - VERTICES / 4).view(field.distance.shape))
    return field


def _cameras() -> Cameras:
    return orbit_cameras(4, size=16)


if __name__ == "__main__":
    compile_kernels()
