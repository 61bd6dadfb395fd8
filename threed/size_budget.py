"""A mesh whose file stays within so many megabytes: what is given up for it, and in which order.

First the texture loses what no eye sees (JPEG, then WebP), then pixels, each time with all
encodings tried; triangles go only where they alone would take more than their share of the file.
"""

from collections.abc import Callable
from dataclasses import asdict

from threed.errors import ReconstructionError
from threed.export import glb_bytes
from threed.file_size import (
    BYTES_A_MB,
    GEOMETRY_SHARE,
    SizeBudget,
    faces_within,
    geometry_bytes,
)
from threed.glb import Encoding, put_together, taken_apart, with_picture
from threed.mesh import MIN_FACES, Mesh, simplify
from threed.texture import UnwrappedMesh, unwrap
from threed.textured_mesh import TexturedMesh
from threed.upright import Up

SMALLEST_TEXTURE = 128
ENCODINGS = (
    Encoding(kind="png"),
    Encoding(kind="jpeg", quality=95),
    Encoding(kind="webp", quality=90),
    Encoding(kind="webp", quality=75),
)


def unwrap_within(mesh: Mesh, max_mb: float | None) -> UnwrappedMesh:
    """Return the mesh unwrapped, with fewer faces where they would take too much of the file."""
    if max_mb is None:
        return unwrap(mesh)
    room = GEOMETRY_SHARE * max_mb * BYTES_A_MB
    expected = faces_within(max_mb)
    # Unwrapping many faces takes long, so what is sure to be too many never gets there.
    while True:
        if len(mesh.faces) > expected:
            mesh = simplify(mesh, max(expected, MIN_FACES))
        unwrapped = unwrap(mesh)
        excess = geometry_bytes(len(unwrapped.vertices), len(unwrapped.faces)) / room
        if excess <= 1 or len(mesh.faces) <= MIN_FACES:
            return unwrapped
        expected = int(0.97 * len(mesh.faces) / excess)


def glb_within(
    bake_at: Callable[[int], TexturedMesh],
    size: int,
    faces: int,
    max_mb: float | None,
    *,
    unlit: bool,
    extras: dict[str, object],
    up: Up = "y",
) -> tuple[TexturedMesh, bytes]:
    """Return a mesh as it was baked and its GLB, which stays within the megabytes.

    Args:
        bake_at: Bakes the mesh with a texture of so many texels a side.
        size: Texels a side that were asked for.
        faces: Triangles that the mesh had before any were given up.
        max_mb: Megabytes that the file may have; None is no limit.
        unlit: As for `export_glb`.
        extras: As for `export_glb`.
        up: As for `glb_bytes`.

    Raises:
        ReconstructionError: Not even the smallest texture fits.
    """
    mesh = bake_at(size)
    data = glb_bytes(mesh, unlit=unlit, extras=extras, up=up)
    if max_mb is None:
        return mesh, data
    data = _marked(data, SizeBudget(max_mb=max_mb, faces=faces, texture=size))
    limit = max_mb * BYTES_A_MB
    side, smallest = size, len(data)
    while True:
        for encoding in ENCODINGS:
            packed = with_picture(data, encoding.encode(mesh.texture), encoding.kind)
            if len(packed) <= limit:
                return mesh, packed
            smallest = min(smallest, len(packed))
        if side <= SMALLEST_TEXTURE:
            break
        side = max(side // 2, SMALLEST_TEXTURE)
        mesh = bake_at(side)
    raise ReconstructionError(
        f"the mesh does not fit into {max_mb:g} MB: with {len(mesh.faces):,} triangles and a "
        f"texture of {side} x {side} pixels it still takes {smallest / BYTES_A_MB:.2f} MB. Ask "
        "for more megabytes, or for fewer triangles"
    )


def _marked(data: bytes, budget: SizeBudget) -> bytes:
    tree, views = taken_apart(data)
    # With the mesh and not with the asset, where only what it was made by stands.
    tree["meshes"][0]["extras"] = {"size_budget": asdict(budget)}
    return put_together(tree, views)
