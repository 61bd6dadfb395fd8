"""How large a mesh's file becomes, and the limit that it may be given. Loads nothing."""

import bisect
from dataclasses import dataclass

BYTES_A_MB = 1_000_000
MOST_FACES = 10_000_000
MB_RANGE = (0.1, 1000.0)
GEOMETRY_SHARE = 0.8
"""Of a file with a limit, what triangles may take of it."""
VERTEX_BYTES, CORNER_BYTES, SHORT_VERTICES = 32, 2, 0xFFFF
"""Of a vertex, and of a face's corner as long as there are fewer vertices than this."""
SEAM = 14.0
"""Vertices on seams count again: so many times the root of the number of faces."""
PNG_TEXEL_BYTES = 0.55
"""Of a texture as PNG, as `benchmarks/file_size.py` measures it."""


@dataclass(frozen=True, kw_only=True)
class SizeBudget:
    """What was asked of a file's size, and what the mesh would have been without."""

    max_mb: float
    """Megabytes (10^6 bytes) that the file may have."""
    faces: int
    """Triangles without the limit."""
    texture: int
    """Texels along the texture's side without the limit."""


def check_megabytes(max_mb: float | None) -> None:
    """Raise ValueError for a size that no mesh can be made to fit, or that means nothing."""
    low, high = MB_RANGE
    if max_mb is not None and not low <= max_mb <= high:
        raise ValueError(f"max_mb is {max_mb}; it must be a number from {low:g} to {high:g}")


def geometry_bytes(num_vertices: int, num_faces: int) -> int:
    """Return the bytes that a mesh without its texture takes in a GLB."""
    corner = CORNER_BYTES if num_vertices < SHORT_VERTICES else 2 * CORNER_BYTES
    return num_vertices * VERTEX_BYTES + num_faces * 3 * corner


def expected_geometry(num_faces: int) -> int:
    """Return about how many bytes a closed mesh takes once it is unwrapped, without a texture."""
    return geometry_bytes(round(num_faces / 2 + SEAM * num_faces**0.5), num_faces)


def expected_bytes(num_faces: int, texture_size: int) -> float:
    """Return about how many bytes a GLB will have where nothing limits it."""
    return expected_geometry(num_faces) + PNG_TEXEL_BYTES * texture_size**2


def faces_within(max_mb: float) -> int:
    """Return about how many triangles a file of so many megabytes may hold beside its texture."""
    room = GEOMETRY_SHARE * max_mb * BYTES_A_MB
    return bisect.bisect_right(range(MOST_FACES), room, key=expected_geometry) - 1
