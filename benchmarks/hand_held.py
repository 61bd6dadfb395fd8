"""A clip as a hand films it, and the fine texture that a real thing has: for `benchmarks.clips`."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from pipelines.training.meshes import PackedMesh
from threed.cameras import Cameras, look_at_origin

SPEEDS = 3.0
"""The fastest part of the turn goes so many times as fast as the slowest."""
ELEVATIONS_DEG = (5.0, 35.0)
DISTANCES = (0.9, 1.1)
ROLL_DEG = 2.0
AIM_DEG = 1.0
LEAST_FACES = 60_000
CELLS = (12, 25, 50)
"""Cells of the texture along the unit sphere's diameter, octave by octave."""


def hand_held(
    num_frames: int, *, fov_y: float, width: int, height: int, seed: int, turns: float = 1.0
) -> Cameras:
    """Return views of a turn whose speed, height, distance, roll and aim wander.

    Args:
        num_frames: Views.
        fov_y: Radians; the object fills the frame as it does at 40 degrees and 3.2 away.
        width: Pixels.
        height: Pixels.
        seed: Of the wandering.
        turns: Whole turns made, counter-clockwise.
    """
    generator = torch.Generator().manual_seed(seed)
    share = torch.linspace(0, 1, num_frames)
    speed = SPEEDS ** _wander(share, generator, periods=(1.0, 2.3))
    azimuth = 2 * math.pi * turns * (speed.cumsum(0) - speed[0]) / speed.sum() + 0.4
    low, high = (math.radians(value) for value in ELEVATIONS_DEG)
    elevation = low + (high - low) * _wander(share, generator, periods=(0.7, 1.6))
    near, far = DISTANCES
    distance = near + (far - near) * _wander(share, generator, periods=(0.8, 1.9))
    radius = distance * 3.2 * math.sin(math.radians(20)) / math.sin(0.5 * fov_y)
    c2w = look_at_origin(azimuth, elevation, radius)
    shake = torch.randn(num_frames, 3, generator=generator) * math.radians(1.0)
    shake = shake * torch.tensor([AIM_DEG, AIM_DEG, ROLL_DEG])
    skew = torch.zeros(num_frames, 3, 3)
    for (row, column), angle in zip(((2, 1), (0, 2), (1, 0)), shake.T, strict=True):
        skew[:, row, column], skew[:, column, row] = angle, -angle
    c2w[:, :3, :3] = c2w[:, :3, :3] @ torch.linalg.matrix_exp(skew)
    return Cameras(c2w=c2w, fov_y=torch.full((num_frames,), fov_y), width=width, height=height)


def _wander(
    share: Float[Tensor, " view"], generator: torch.Generator, periods: tuple[float, ...]
) -> Float[Tensor, " view"]:
    """Return a smooth curve from 0 to 1 with waves of so many periods in the clip."""
    phase = 2 * math.pi * torch.rand(len(periods), generator=generator)
    waves = [
        torch.sin(2 * math.pi * count * share + start)
        for count, start in zip(periods, phase, strict=True)
    ]
    curve = torch.stack(waves).sum(dim=0)
    return (curve - curve.min()) / (curve.max() - curve.min())


def speckled(mesh: PackedMesh, seed: int) -> PackedMesh:
    """Return a mesh with a fine random texture in place of its own, a colour a small face."""
    vertices, faces, colours = mesh.vertices.float(), mesh.faces.long(), mesh.colours
    while len(faces) < LEAST_FACES:
        vertices, faces = _split(vertices, faces)
        colours = colours.repeat(4, 1)
    centres = vertices[faces].mean(dim=1)
    generator = torch.Generator().manual_seed(seed)
    shade = torch.zeros(len(faces), 3)
    for cells in CELLS:
        noise = torch.rand(1, 3, cells, cells, cells, generator=generator) - 0.5
        place = centres[None, None, None]
        shade += F.grid_sample(noise, place, padding_mode="reflection", align_corners=False)[
            0, :, 0, 0
        ].T
    factor = (0.6 + 0.9 * shade).clamp(0.05, 1.0)
    plain = colours.float().mean(dim=0).clamp(min=120)
    return replace(
        mesh,
        vertices=vertices,
        faces=faces.to(mesh.faces.dtype),
        colours=(plain * factor).round().byte(),
        uv=None,
        textures=None,
        texture_index=None,
    )


def _split(
    vertices: Float[Tensor, "vertex 3"], faces: Int[Tensor, "face 3"]
) -> tuple[Float[Tensor, "point 3"], Int[Tensor, "part 3"]]:
    """Return every triangle as four."""
    a, b, c = faces.unbind(dim=1)
    ends = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    middle = 0.5 * (vertices[ends[:, 0]] + vertices[ends[:, 1]])
    ab, bc, ca = (len(vertices) + torch.arange(3 * len(faces))).view(3, -1)
    parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return torch.cat([vertices, middle]), torch.cat([torch.stack(part, -1) for part in parts])
