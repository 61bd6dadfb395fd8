"""Where a result stands: which axis is up and which point is the origin, where a user asks."""

from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from threed.orbit import OrbitVideo
from threed.upright import Up

Origin = Literal["centre", "feet"]


def turned_up(orbit: OrbitVideo, up: Up, wanted: Up) -> OrbitVideo:
    """Return the orbit in a world turned a quarter about x, so that `wanted` points up."""
    if up == wanted:
        return orbit
    # From z up: x stays, z becomes y and y becomes -z; the other way is the inverse.
    turn = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], device=orbit.alpha.device)
    turn = turn if wanted == "y" else turn.T
    c2w = orbit.cameras.c2w.clone()
    c2w[:, :3] = turn @ c2w[:, :3]
    normals = None if orbit.normals is None else orbit.normals @ turn.T
    return replace(orbit, normals=normals, cameras=replace(orbit.cameras, c2w=c2w))


def shift_to(
    vertices: Float[np.ndarray, "vertex 3"], origin: Origin, up: Up
) -> Float[np.ndarray, " 3"]:
    """Return what brings the box's centre, or the middle of its foot, to the origin."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    point = 0.5 * (low + high)
    if origin == "feet":
        axis = 1 if up == "y" else 2
        point[axis] = low[axis]
    return -point
