"""What a camera does in a video: once around the object, nothing, or one move of film.

A path is described by the viewpoint at its ends, so that training draws any ends and the program
the usual ones.
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from threed.cameras import (
    DEFAULT_ELEVATION,
    DEFAULT_FOV_Y,
    DEFAULT_RADIUS,
    Cameras,
    look_at_origin,
    orbit_cameras,
)


@dataclass(frozen=True, kw_only=True)
class Viewpoint:
    """Where a camera stands that looks at the origin. Angles in radians."""

    azimuth: float = 0.0
    elevation: float = DEFAULT_ELEVATION
    radius: float = DEFAULT_RADIUS
    fov_y: float = DEFAULT_FOV_Y


MOVES = {
    # A lens from wide to long, and a camera that comes nearer: the object grows alike, and only the
    # second changes its perspective.
    "zoom-in": ({"fov_y": math.radians(52)}, {"fov_y": math.radians(24)}),
    "dolly-in": ({"radius": 5.2}, {"radius": 2.3}),
    "crane-up": ({"elevation": math.radians(-10)}, {"elevation": math.radians(55)}),
    "arc": ({"azimuth": math.radians(-50)}, {"azimuth": math.radians(50)}),
}
"""What differs from the usual viewpoint at the beginning and at the end."""
BACKWARDS = {"zoom-out": "zoom-in", "dolly-out": "dolly-in", "crane-down": "crane-up"}


def path_cameras(camera: str, num_frames: int, *, size: int, elevation: float) -> Cameras:
    """Return the cameras of a named path.

    Args:
        camera: `orbit`, `still`, or one of the moves (`pipelines.request.CAMERAS`).
        num_frames: Views.
        size: Width and height, pixels.
        elevation: Radians; a crane has its own.

    Raises:
        ValueError: The name is unknown.
    """
    usual = Viewpoint(elevation=elevation)
    if camera == "orbit":
        return orbit_cameras(num_frames, size=size, elevation=elevation)
    if camera == "still":
        return moved_cameras(usual, usual, num_frames, size)
    forwards = BACKWARDS.get(camera, camera)
    if forwards not in MOVES:
        raise ValueError(f"camera is {camera!r}; it must be orbit, still or a move")
    begin, end = (replace(usual, **part) for part in MOVES[forwards])
    return moved_cameras(*((begin, end) if camera == forwards else (end, begin)), num_frames, size)


def moved_cameras(begin: Viewpoint, end: Viewpoint, num_frames: int, size: int) -> Cameras:
    """Return views from one viewpoint to another, both included, evenly in every number.

    Distances and lenses change by equal factors, which is what looks even.
    """
    part = torch.linspace(0, 1, num_frames)

    def between(first: float, last: float) -> Float[Tensor, " view"]:
        return first + (last - first) * part

    def by_factors(first: float, last: float) -> Float[Tensor, " view"]:
        return between(math.log(first), math.log(last)).exp()

    focal = by_factors(1 / math.tan(begin.fov_y / 2), 1 / math.tan(end.fov_y / 2))
    return Cameras(
        c2w=look_at_origin(
            between(begin.azimuth, end.azimuth),
            between(begin.elevation, end.elevation),
            by_factors(begin.radius, end.radius),
        ),
        fov_y=2 * torch.atan(1 / focal),
        width=size,
        height=size,
    )
