"""The textured mesh as files that other programs open."""

import os
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from threed.glb import with_short_indices
from threed.textured_mesh import TexturedMesh
from threed.upright import STAND_UP, Up

GENERATOR = "Lathe"


def export_glb(
    mesh: TexturedMesh, path: Path | str, *, unlit: bool, extras: dict[str, object]
) -> None:
    """Write the GLB of `glb_bytes`, whole or not at all; an older file is replaced."""
    write_whole(path, glb_bytes(mesh, unlit=unlit, extras=extras))


def glb_bytes(mesh: TexturedMesh, *, unlit: bool, extras: dict[str, object], up: Up = "y") -> bytes:
    """Return a binary glTF: one mesh, one material, its texture as PNG inside.

    Args:
        mesh: As ours, +y up with its front towards +z, which is how glTF has it; or as `up` says.
        unlit: Whether the colours hold their light already (KHR_materials_unlit).
        extras: JSON values that go into the file's `asset.extras`, such as prompt and seed.
        up: The mesh's axis that points up. One that stands along z keeps its numbers, and its node
            in the file is turned, so that viewers show it standing.
    """
    material = PBRMaterial(
        name="surface",
        baseColorTexture=Image.fromarray(mesh.texture, mode="RGB"),
        baseColorFactor=[255, 255, 255, 255],
        metallicFactor=0.0,
        roughnessFactor=1.0,
        # The surface is closed: its inside is never seen.
        doubleSided=False,
        alphaMode="OPAQUE",
    )
    body = trimesh.Trimesh(
        vertices=mesh.vertices.astype(np.float64),
        faces=mesh.faces,
        vertex_normals=mesh.normals.astype(np.float64),
        visual=TextureVisuals(uv=mesh.uv.astype(np.float64), material=material),
        process=False,
        validate=False,
    )
    scene = trimesh.Scene()
    scene.add_geometry(body, node_name="object", geom_name="object")

    def finish(tree: dict) -> None:
        tree["asset"]["generator"] = GENERATOR
        tree["asset"]["extras"] = extras
        # A scene's metadata is trimesh's own; what is to be known stands in the asset.
        for entry in (*tree["scenes"], *tree["nodes"], *tree["meshes"]):
            entry.pop("extras", None)
        # Linear with mipmaps, clamped: charts reach the picture's rim, so nothing may wrap round.
        tree["samplers"] = [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}]
        for texture in tree["textures"]:
            texture["sampler"] = 0
        if up == "z":
            for node in tree["nodes"]:
                if "mesh" in node:
                    node["rotation"] = list(STAND_UP)
        if unlit:
            tree["extensionsUsed"] = ["KHR_materials_unlit"]
            for entry in tree["materials"]:
                entry["extensions"] = {"KHR_materials_unlit": {}}

    data = trimesh.exchange.gltf.export_glb(  # pyright: ignore[reportAttributeAccessIssue]
        scene, include_normals=True, unitize_normals=True, tree_postprocessor=finish
    )
    return with_short_indices(data)


def write_whole(path: Path | str, data: bytes) -> None:
    """Write a file beside its place and move it there, so that nobody sees half of it."""
    path = Path(path)
    beside = path.with_name(f".{path.name}.part")
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
