"""Shapes that no kit has: meshes turned, stretched and tapered, to be learnt beside pictures."""

from dataclasses import replace

import torch

from pipelines.training.meshes import PackedMesh
from pipelines.training.pictures import yaw_rotation

# Of each axis' length, before the whole is brought to the unit sphere again.
LEAST_STRETCH, MOST_STRETCH = 0.6, 1.6
# By how much the width changes from the middle to the top, and so much the other way below.
MOST_TAPER = 0.4


def deformed(mesh: PackedMesh, generator: torch.Generator) -> PackedMesh:
    """Return a mesh of another shape, in the unit sphere: turned about +y, stretched, tapered.

    Colours, textures and faces are as they were.

    Args:
        mesh: On the CPU.
        generator: Draws the shape.
    """
    number = torch.rand(5, generator=generator)
    turn = yaw_rotation(2 * torch.pi * number[:1])[0]
    stretch = LEAST_STRETCH * (MOST_STRETCH / LEAST_STRETCH) ** number[1:4]
    points = mesh.vertices @ turn.T * stretch
    height = points[:, 1:2] / points[:, 1].abs().max().clamp(min=1e-9)
    width = 1 + MOST_TAPER * (2 * number[4] - 1) * height
    points = torch.cat([width, torch.ones_like(width), width], dim=1) * points
    points = points - (points.amin(dim=0) + points.amax(dim=0)) / 2
    return replace(mesh, vertices=points / points.norm(dim=1).max().clamp(min=1e-9))
