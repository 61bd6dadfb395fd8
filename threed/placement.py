"""Where a result stands: which axis is up and which point is the origin, where a user asks."""

import struct
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from threed.export import write_whole
from threed.glb import moved, taken_apart
from threed.orbit import OrbitVideo
from threed.run_folder import RunFolder
from threed.textured_mesh import read_own_glb
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


def place(folder: RunFolder, origin: Origin, up: Up) -> None:
    """Move a finished run's mesh, once: where it was rounded, a second time would move it again."""
    path = folder.file("mesh.glb")
    if origin_of(path) != origin:
        shift = shift_to(read_own_glb(path).vertices, origin, up)
        write_whole(path, moved(path.read_bytes(), shift, {"origin": origin}))


def discard_moved(folder: RunFolder) -> None:
    """Give up a mesh that was moved, before a report that compares it with what cameras saw.

    Moving it back would not bring its last bits back.
    """
    if origin_of(folder.file("mesh.glb")) is not None:
        folder.discard("mesh")


def origin_of(glb: Path) -> str | None:
    """Return which of its points was moved to a GLB's origin; None where it was not moved.

    What cannot be read was not moved either: whoever needs the mesh says what is wrong with it.
    """
    try:
        tree, _ = taken_apart(glb.read_bytes())
        return tree["asset"].get("extras", {}).get("origin")
    except (ValueError, LookupError, TypeError, struct.error, OSError):
        return None
