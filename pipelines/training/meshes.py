"""GLB files to tensors: one packed file that a machine without trimesh can render from.

Every mesh is brought to float32 vertices in the unit sphere, int32 faces, one sRGB colour a face
and, where it has textures, the corners' texture coordinates and the textures themselves.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class PackedMesh:
    """A mesh with flat colours, or with textures."""

    vertices: Float[Tensor, "vertex 3"]
    """Positions inside the unit sphere, +y up, front towards +z."""
    faces: Int[Tensor, "face 3"]
    colours: UInt8[Tensor, "face 3"]
    """sRGB colour of each face; what the texture is multiplied by where there is one."""
    uv: Float[Tensor, "face 3 2"] | None
    """Texture coordinates of each corner, v upwards; None where no face has a texture."""
    textures: UInt8[Tensor, "texture rows columns 3"] | None
    """The different textures, brought to the size of the largest."""
    texture_index: Int[Tensor, " face"] | None
    """Which texture a face has; -1 is none."""


FIELDS = tuple(field.name for field in fields(PackedMesh))


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

    Where a row has no `id`, its file's path is one ("a/box.glb": a_box).

    Raises:
        ValueError: The file or one of the columns is missing, or two rows have one id.
    """
    path = folder / "captions.csv"
    if not path.is_file():
        raise ValueError(f"{folder} holds no captions.csv; it needs the columns file and name")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "name"} <= rows[0].keys():
        raise ValueError(f"{path} needs rows and the columns file and name")
    found = [
        CaptionRow(
            id=row.get("id") or _id_of_file(row["file"]),
            file=row["file"],
            name=row["name"],
            kit=row.get("kit", ""),
        )
        for row in rows
    ]
    # Packed, the last of them would be seen under the names of all.
    id_, count = Counter(row.id for row in found).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"{path} has {count} rows of the id {id_}; every row needs another id, which is its "
            "file's path where the column id does not say otherwise"
        )
    return found


def _id_of_file(file: str) -> str:
    path = PurePosixPath(file)
    return "_".join([*path.parent.parts, path.stem])


def read_glb(path: Path) -> PackedMesh:
    """Return one GLB file's geometry, its base colours taken to sRGB.

    A part without a material is white, or has its faces' own colours.

    Raises:
        ValueError: The file holds no triangles.
    """
    import trimesh

    scene = trimesh.load_scene(path, process=False)
    parts = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh)]
    if not parts or not sum(len(part.faces) for part in parts):
        raise ValueError(f"{path} holds no triangles")
    offset, vertices, faces, colours, uvs, index = 0, [], [], [], [], []
    images: list[np.ndarray] = []
    for part in parts:
        colour, image = _appearance(part.visual)
        num_faces = len(part.faces)
        colours.append(np.broadcast_to(colour, (num_faces, 3)))
        uv = getattr(part.visual, "uv", None)
        if image is not None and uv is not None:
            index.append(np.full(num_faces, _place(image, images)))
            uvs.append(np.asarray(uv, np.float32)[part.faces])
        else:
            index.append(np.full(num_faces, -1))
            uvs.append(np.zeros((num_faces, 3, 2), np.float32))
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
        uv=torch.from_numpy(np.concatenate(uvs)) if images else None,
        textures=torch.from_numpy(_stacked(images)) if images else None,
        texture_index=torch.from_numpy(np.concatenate(index)) if images else None,
    )


def _place(image: np.ndarray, images: list[np.ndarray]) -> int:
    """Return the image's place in the list, to which it is added if it is new."""
    for place, other in enumerate(images):
        if np.array_equal(image, other):
            return place
    images.append(image)
    return len(images) - 1


def _stacked(images: list[np.ndarray]) -> np.ndarray:
    """Return the images as one array, the smaller ones with their texels repeated."""
    rows, columns = (max(image.shape[axis] for image in images) for axis in (0, 1))
    return np.stack(
        [
            image[np.arange(rows) * image.shape[0] // rows][
                :, np.arange(columns) * image.shape[1] // columns
            ]
            for image in images
        ]
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


def write_packed(rows: list[CaptionRow], meshes: Iterable[PackedMesh], path: Path) -> None:
    """Write meshes with their rows into one safetensors file, atomically; makes its folder."""
    # First, for the meshes may take minutes to read.
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {}
    for row, mesh in zip(rows, meshes, strict=True):
        for field in FIELDS:
            value = getattr(mesh, field)
            if value is not None:
                tensors[f"{row.id}/{field}"] = value.contiguous()
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, {"rows": json.dumps([asdict(row) for row in rows])})
    partial.replace(path)


def read_rows(path: Path) -> list[CaptionRow]:
    """Return the rows of a packed file.

    Raises:
        ValueError: The file holds none.
    """
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
    if "rows" not in metadata:
        raise ValueError(f"{path} holds no packed meshes; make it with the command pack")
    return [CaptionRow(**row) for row in json.loads(metadata["rows"])]


def read_packed(path: Path) -> Iterator[tuple[str, PackedMesh]]:
    """Yield the meshes of a packed file with their ids, in the order of its rows."""
    with safe_open(path, framework="pt") as file:
        keys = set(file.keys())
        for row in read_rows(path):
            values: dict[str, Any] = {
                name: file.get_tensor(f"{row.id}/{name}") if f"{row.id}/{name}" in keys else None
                for name in FIELDS
            }
            yield row.id, PackedMesh(**values)


def sample_textures(
    textures: UInt8[Tensor, "texture rows columns 3"],
    index: Int[Tensor, " pixel"],
    uv: Float[Tensor, "pixel 2"],
) -> Float[Tensor, "pixel 3"]:
    """Return sRGB colours in [0, 1] of the nearest texels; a texture repeats at its borders."""
    rows, columns = textures.shape[1:3]
    wrapped = uv - uv.floor()
    column = (wrapped[:, 0] * columns).long().clamp(max=columns - 1)
    row = ((1 - wrapped[:, 1]) * rows).long().clamp(0, rows - 1)
    return textures[index, row, column].float() / 255
