"""GLB files to tensors: one packed file that a machine without trimesh can render from.

Every mesh is brought to float32 vertices in the unit sphere, int32 faces, one sRGB colour a face
and, where it has a texture, the corners' texture coordinates and the texture itself.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PackedMesh:
    """A mesh with flat colours, or with one texture."""

    vertices: Float[Tensor, "vertex 3"]
    """Positions inside the unit sphere, +y up, front towards +z."""
    faces: Int[Tensor, "face 3"]
    colours: UInt8[Tensor, "face 3"]
    """sRGB colour of each face; what the texture is multiplied by where there is one."""
    uv: Float[Tensor, "face 3 2"] | None
    """Texture coordinates of each corner, v upwards; None without a texture."""
    texture: UInt8[Tensor, "rows columns 3"] | None


@dataclass(frozen=True, kw_only=True)
class CaptionRow:
    """One object of a captioned folder."""

    id: str
    file: str
    """Path below the folder."""
    name: str
    kit: str


def read_caption_rows(folder: Path) -> list[CaptionRow]:
    """Return the rows of `captions.csv`, which needs the columns `file` and `name`.

    Raises:
        ValueError: The file or one of the columns is missing.
    """
    path = folder / "captions.csv"
    if not path.is_file():
        raise ValueError(f"{folder} holds no captions.csv; it needs the columns file and name")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "name"} <= rows[0].keys():
        raise ValueError(f"{path} needs rows and the columns file and name")
    return [
        CaptionRow(
            id=row.get("id") or Path(row["file"]).stem,
            file=row["file"],
            name=row["name"],
            kit=row.get("kit", ""),
        )
        for row in rows
    ]


def read_glb(path: Path) -> PackedMesh:
    """Return one GLB file's geometry, its base colours taken to sRGB.

    A part without a material is white, or has its faces' own colours.

    Raises:
        ValueError: The file holds no triangles, or several textures.
    """
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    if not parts or not sum(len(part.faces) for part in parts):
        raise ValueError(f"{path} holds no triangles")
    offset, vertices, faces, colours, uvs, texture = 0, [], [], [], [], None
    for part in parts:
        colour, image = _appearance(part.visual)
        colours.append(np.broadcast_to(colour, (len(part.faces), 3)))
        uv = getattr(part.visual, "uv", None)
        if image is not None and uv is not None:
            if texture is not None and not np.array_equal(texture, image):
                raise ValueError(f"{path} has several textures; at most one is read")
            texture = image
            uvs.append(np.asarray(uv, np.float32)[part.faces])
        else:
            uvs.append(np.full((len(part.faces), 3, 2), np.nan, np.float32))
        vertices.append(np.asarray(part.vertices, np.float32))
        faces.append(np.asarray(part.faces, np.int32) + offset)
        offset += len(part.vertices)
    points = np.concatenate(vertices)
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    points = points - centre
    points /= max(float(np.linalg.norm(points, axis=1).max()), 1e-9)
    return PackedMesh(
        vertices=torch.from_numpy(points),
        faces=torch.from_numpy(np.concatenate(faces)),
        colours=torch.from_numpy(np.concatenate(colours)),
        uv=None if texture is None else torch.from_numpy(np.concatenate(uvs)),
        texture=None if texture is None else torch.from_numpy(texture.copy()),
    )


def _appearance(visual: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Return sRGB colours (uint8, one or one a face) and the texture of a part, if it has one."""
    material = getattr(visual, "material", None)
    if material is None:
        given = getattr(visual, "face_colors", np.full((1, 4), 255, np.uint8))
        return np.asarray(given, np.uint8)[:, :3], None
    if hasattr(material, "to_pbr"):
        material = material.to_pbr()
    factor = material.baseColorFactor
    linear = np.ones(3) if factor is None else np.asarray(factor[:3], np.float64) / 255.0
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    image = material.baseColorTexture
    pixels = None if image is None else np.asarray(image.convert("RGB"), np.uint8)
    return np.round(srgb * 255).astype(np.uint8)[None], pixels


def write_packed(meshes: dict[str, PackedMesh], path: Path) -> None:
    """Write meshes by id into one safetensors file, atomically."""
    tensors = {}
    for id_, mesh in meshes.items():
        for field in ("vertices", "faces", "colours", "uv", "texture"):
            value = getattr(mesh, field)
            if value is not None:
                tensors[f"{id_}/{field}"] = value.contiguous()
    partial = path.with_suffix(".partial")
    save_file(tensors, partial)
    partial.replace(path)


def read_packed(path: Path) -> Iterator[tuple[str, PackedMesh]]:
    """Yield the meshes of a packed file with their ids, in the order of the ids."""
    with safe_open(path, framework="pt") as file:
        fields: dict[str, set[str]] = {}
        for key in file.keys():  # noqa: SIM118 (safe_open is no mapping)
            id_, field = key.rsplit("/", 1)
            fields.setdefault(id_, set()).add(field)
        for id_ in sorted(fields):
            values: dict[str, Any] = {
                name: file.get_tensor(f"{id_}/{name}") if name in fields[id_] else None
                for name in ("vertices", "faces", "colours", "uv", "texture")
            }
            yield id_, PackedMesh(**values)


def sample_texture(
    texture: UInt8[Tensor, "rows columns 3"], uv: Float[Tensor, "pixel 2"]
) -> Float[Tensor, "pixel 3"]:
    """Return sRGB colours in [0, 1] of the nearest texels; the texture repeats at its borders."""
    rows, columns = texture.shape[:2]
    wrapped = uv - uv.floor()
    column = (wrapped[:, 0] * columns).long().clamp(max=columns - 1)
    row = ((1 - wrapped[:, 1]) * rows).long().clamp(0, rows - 1)
    return texture[row, column].float() / 255
