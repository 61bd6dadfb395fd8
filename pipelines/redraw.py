"""Drawing a finished orbit again, so that its views show one thing.

The field holds what all views together say of the object. Its own pictures, lightly noised and
denoised by the video model (SDEdit, Meng et al. 2022), are the object that they agree on, with the
model's detail. That by turns draws and fits is IM-3D's (Melas-Kyriazi et al. 2024).
"""

from dataclasses import replace

import torch

from threed.distillation import Denoise
from threed.field import Field
from threed.orbit import OrbitVideo
from threed.render import render_views

REDRAW_NOISE = 0.5
"""Light enough that a view stays what all of them make of it; the heavier, the less they agree."""


def redraw(
    orbit: OrbitVideo, field: Field, denoise: Denoise, generator: torch.Generator
) -> OrbitVideo:
    """Return the orbit with all its views drawn anew.

    Args:
        orbit: A finished orbit.
        field: Fitted to it.
        denoise: Takes a clean clip with its cameras and sigma, adds that noise itself and returns
            its clean estimate.
        generator: Draws the noise.
    """
    agreed = render_views(field, orbit.cameras)
    if orbit.normals is None:
        agreed = replace(agreed, normals=None)
    return denoise(agreed, REDRAW_NOISE, generator)
