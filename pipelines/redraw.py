"""Drawing again the views of a finished orbit that disagree with the rest.

The field holds what all views together say of the object. Its own pictures of the weak views,
lightly noised and denoised by the video model beside the views that agree (SDEdit, Meng et al.
2022), show the object that the others show, with the model's detail.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from threed.distillation import Denoise
from threed.field import Field
from threed.orbit import OrbitVideo
from threed.render import render_views

REDRAW_NOISE = 0.5
"""Light enough that a view stays what the others make of it: drawn from heavier noise it strays."""


def redraw(
    orbit: OrbitVideo,
    field: Field,
    views: Sequence[int],
    denoise: Denoise,
    generator: torch.Generator,
) -> OrbitVideo:
    """Return the orbit with some views drawn anew; the others are as they were.

    Args:
        orbit: A finished orbit.
        field: Fitted to it.
        views: Indices of the views to draw anew; at least one.
        denoise: Takes a clean clip with its cameras and sigma, adds that noise itself and returns
            its clean estimate.
        generator: Draws the noise.
    """
    views = list(views)
    guess = _replaced(orbit, render_views(field, orbit.cameras), views)
    return _replaced(orbit, denoise(guess, REDRAW_NOISE, generator), views)


def _replaced(orbit: OrbitVideo, other: OrbitVideo, views: list[int]) -> OrbitVideo:
    """Return the orbit with the other's pictures in place of some of its own."""

    def taken(mine: torch.Tensor, theirs: torch.Tensor) -> torch.Tensor:
        mine = mine.clone()
        mine[views] = theirs[views].detach().to(mine)
        return mine

    normals = orbit.normals
    if normals is not None and other.normals is not None:
        normals = taken(normals, other.normals)
    return replace(
        orbit,
        albedo=taken(orbit.albedo, other.albedo),
        alpha=taken(orbit.alpha, other.alpha),
        normals=normals,
    )
