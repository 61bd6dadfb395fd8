"""Clips that are no orbits: a thing that moves, or a camera that does.

Every motion turns, shifts and scales the whole thing, so what its frames show is also what a camera
sees that does the opposite about the thing at rest: one mesh serves for all frames.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.motions import MOTIONS, Motion
from pipelines.video.camera_paths import Viewpoint, moved_cameras
from threed.cameras import Cameras

MOVES = ("turn", "camera", *(motion.name for motion in MOTIONS))
"""What moves in a clip: the camera once around the thing, the camera otherwise, or the thing."""
TURN = 0
STILL_SHARE = 0.75
"""How many of the clips in which the thing moves have a camera that does not."""


def motion_of(move: int) -> Motion | None:
    """Return what the thing does in a clip of this move (an index in MOVES); None for nothing."""
    return MOTIONS[move - 2] if move >= 2 else None


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where a thing is in each frame: its points p are at scale * rotation @ p + shift."""

    rotation: Float[Tensor, "frame 3 3"]
    shift: Float[Tensor, "frame 3"]
    scale: Float[Tensor, " frame"]


@dataclass(frozen=True, kw_only=True)
class MovingClip:
    """One clip as it is drawn, and as it is told."""

    move: int
    """Index in MOVES."""
    cameras: Cameras
    """Where the film's camera stands."""
    placement: Placement


def _about(axis: int, angle: Float[Tensor, " frame"]) -> Float[Tensor, "frame 3 3"]:
    """Return rotations about x, y or z (0, 1, 2) by angles in radians."""
    first, second = [(1, 2), (2, 0), (0, 1)][axis]
    rotation = torch.eye(3).repeat(len(angle), 1, 1)
    rotation[:, first, first] = rotation[:, second, second] = angle.cos()
    rotation[:, first, second], rotation[:, second, first] = -angle.sin(), angle.sin()
    return rotation


def _placed(
    part: Float[Tensor, " frame"],
    *,
    scale: float | Float[Tensor, " frame"],
    x: float | Float[Tensor, " frame"] = 0.0,
    y: float | Float[Tensor, " frame"] = 0.0,
    rotation: Float[Tensor, "frame 3 3"] | None = None,
) -> Placement:
    zero = torch.zeros_like(part)
    return Placement(
        rotation=_about(1, zero) if rotation is None else rotation,
        shift=torch.stack([zero + x, zero + y, zero], dim=-1),
        scale=zero + scale,
    )


def _grown(part: Float[Tensor, " frame"], low: float) -> Placement:
    scale = 0.12 + 0.83 * part
    # It stands where it will stand when it is large.
    return _placed(part, scale=scale, y=low * (0.95 - scale))


def _swung(part: Float[Tensor, " frame"], low: float) -> Placement:
    angle = math.radians(30) * torch.sin(4 * math.pi * part)
    pivot = 0.85
    return _placed(
        part,
        scale=0.75,
        x=pivot * angle.sin(),
        y=pivot * (1 - angle.cos()),
        rotation=_about(2, angle),
    )


def _rolled(part: Float[Tensor, " frame"], low: float) -> Placement:
    x, scale = 3.0 * part - 1.5, 0.55
    return _placed(part, scale=scale, x=x, y=-0.2, rotation=_about(2, -(x + 1.5) / scale))


def _bounced(part: Float[Tensor, " frame"], low: float) -> Placement:
    flight = 2 * part % 1
    return _placed(part, scale=0.5, y=4.4 * flight * (1 - flight) - 0.55)


def _shaken(part: Float[Tensor, " frame"], low: float) -> Placement:
    wave = torch.sin(10 * math.pi * part)
    rotation = _about(2, math.radians(7) * wave)
    return _placed(part, scale=0.85, x=0.06 * wave, rotation=rotation)


# By the clip's part that is over, in [0, 1), and the height of the thing's lowest point.
PLACES: dict[str, Callable[[Float[Tensor, " frame"], float], Placement]] = {
    "spin": lambda part, _: _placed(part, scale=0.95, rotation=_about(1, 2 * math.pi * part)),
    "bounce": _bounced,
    # The front, +z, looks where it goes.
    "pass": lambda part, _: _placed(
        part, scale=0.6, x=3.2 * part - 1.6, rotation=_about(1, torch.full_like(part, math.pi / 2))
    ),
    "roll": _rolled,
    "swing": _swung,
    "grow": _grown,
    "shrink": lambda part, low: _grown(1 - part, low),
    "fall": lambda part, _: _placed(part, scale=0.6, y=(1.7 - 6 * part.square()).clamp(min=-0.5)),
    "rise": lambda part, _: _placed(part, scale=0.6, y=2.4 * part.square() - 0.5),
    "tumble": lambda part, _: _placed(part, scale=0.85, rotation=_about(0, 2 * math.pi * part)),
    "shake": _shaken,
}


def place(move: str, num_frames: int, low: float) -> Placement:
    """Return where a thing is while it moves, or stands still while the camera does.

    Args:
        move: One of MOVES.
        num_frames: Frames.
        low: Height of the lowest point of the thing at rest.
    """
    part = torch.arange(num_frames) / num_frames
    if move not in PLACES:
        return _placed(part, scale=1.0)
    return PLACES[move](part, low)


def random_viewpoint(generator: torch.Generator) -> Viewpoint:
    """Return the usual viewpoint, or one to its side, above or below."""
    number = torch.rand(4, generator=generator).tolist()
    usual = Viewpoint()
    if number[0] < 0.4:
        usual = replace(usual, azimuth=math.radians(90 * number[1] - 45))
    if number[2] < 0.5:
        usual = replace(usual, elevation=math.radians(55 * number[3] - 15))
    return usual


def random_path(num_frames: int, size: int, generator: torch.Generator) -> Cameras:
    """Return a zoom, a dolly, a crane, an arc, or a camera that stands still."""
    number = torch.rand(6, generator=generator).tolist()
    middle = random_viewpoint(generator)
    kind = int(number[0] * 9)
    if kind < 2:
        ends = [
            replace(middle, fov_y=math.radians(fov))
            for fov in (22 + 10 * number[1], 44 + 14 * number[2])
        ]
    elif kind < 4:
        ends = [replace(middle, radius=r) for r in (2.1 + 0.6 * number[1], 4.2 + 1.6 * number[2])]
    elif kind < 6:
        ends = [
            replace(middle, elevation=math.radians(degrees))
            for degrees in (20 * number[1] - 25, 35 + 25 * number[2])
        ]
    elif kind < 8:
        sweep = math.radians(15 + 50 * number[1])
        ends = [replace(middle, azimuth=middle.azimuth + side * sweep) for side in (-1, 1)]
    else:
        ends = [middle, middle]
    if number[3] < 0.5:
        ends.reverse()
    begin, end = ends
    return moved_cameras(begin, end, num_frames, size)


def random_clip(
    num_frames: int, size: int, low: float, generator: torch.Generator, *, moving: bool
) -> MovingClip:
    """Return a clip of a random motion, or of a random move of the camera.

    Args:
        num_frames: Frames.
        size: Width and height, pixels.
        low: Height of the lowest point of the thing at rest.
        generator: Draws all.
        moving: Whether the thing moves.
    """
    pick, still = torch.rand(2, generator=generator).tolist()
    move = 2 + int(pick * len(MOTIONS)) if moving else 1
    if moving and still < STILL_SHARE:
        viewpoint = random_viewpoint(generator)
        cameras = moved_cameras(viewpoint, viewpoint, num_frames, size)
    else:
        cameras = random_path(num_frames, size, generator)
    return MovingClip(move=move, cameras=cameras, placement=place(MOVES[move], num_frames, low))


def as_seen_at_rest(clip: MovingClip) -> Cameras:
    """Return the cameras that see the thing at rest as the clip's camera sees it moving."""
    placed, c2w = clip.placement, clip.cameras.c2w
    back = placed.rotation.transpose(1, 2)
    still = c2w.clone()
    still[:, :3, :3] = back @ c2w[:, :3, :3]
    away = c2w[:, :3, 3] - placed.shift
    still[:, :3, 3] = torch.einsum("fij,fj->fi", back, away) / placed.scale[:, None]
    return replace(clip.cameras, c2w=still)
