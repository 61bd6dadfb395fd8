"""A mesh with its texture, as it is baked, and as a GLB of ours holds it. Loads no torch."""

import io
import json
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from threed.errors import RequestError

GLTF_FLOAT, GLTF_UINT = 5126, 5125
MAX_TEXTURE_SIDE = 8192


@dataclass(frozen=True, kw_only=True)
class TexturedMesh:
    """An unwrapped mesh with the picture that its UVs point into."""

    vertices: Float[np.ndarray, "vertex 3"]
    normals: Float[np.ndarray, "vertex 3"]
    uv: Float[np.ndarray, "vertex 2"]
    faces: Int[np.ndarray, "face 3"]
    texture: UInt8[np.ndarray, "height width 3"]
    """sRGB base colour, row 0 at v = 1."""


def read_own_glb(path: Path) -> TexturedMesh:
    """Return the mesh of a GLB that `threed.export` wrote, and of no other.

    So few lines suffice where only files of this program are read, and the page's process can do
    without the library that reads all the others.

    Raises:
        RequestError: The file is none of this program's, or it is damaged.
    """
    try:
        return _read(path.read_bytes())
    except (ValueError, LookupError, TypeError, struct.error, OSError) as error:
        raise RequestError(f"{path.name} is no mesh of this program: {error}") from error


def _read(data: bytes) -> TexturedMesh:
    magic, version, _ = struct.unpack_from("<4sII", data)
    length, kind = struct.unpack_from("<I4s", data, 12)
    if (magic, version, kind) != (b"glTF", 2, b"JSON"):
        raise ValueError("not a binary glTF")
    tree = json.loads(data[20 : 20 + length])
    binary = memoryview(data)[20 + length + 8 :]
    (body,) = tree["meshes"][0]["primitives"]
    texture = tree["textures"][
        tree["materials"][body["material"]]["pbrMetallicRoughness"]["baseColorTexture"]["index"]
    ]
    picture = _view(tree, binary, tree["images"][texture["source"]]["bufferView"])
    with Image.open(io.BytesIO(picture), formats=("PNG", "JPEG")) as image:
        if max(image.size) > MAX_TEXTURE_SIDE:
            raise ValueError(f"a texture of {image.width} x {image.height} pixels")
        pixels = np.array(image.convert("RGB"))
    uv = _array(tree, binary, body["attributes"]["TEXCOORD_0"], 2)
    return TexturedMesh(
        vertices=_array(tree, binary, body["attributes"]["POSITION"], 3),
        normals=_array(tree, binary, body["attributes"]["NORMAL"], 3),
        # glTF counts v from the picture's top.
        uv=np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1),
        faces=_array(tree, binary, body["indices"], 1).reshape(-1, 3).astype(np.int64),
        texture=pixels,
    )


def _view(tree: dict, binary: memoryview, index: int) -> memoryview:
    view = tree["bufferViews"][index]
    start = view.get("byteOffset", 0)
    return binary[start : start + view["byteLength"]]


def _array(tree: dict, binary: memoryview, index: int, width: int) -> np.ndarray:
    accessor = tree["accessors"][index]
    dtype = {GLTF_FLOAT: "<f4", GLTF_UINT: "<u4"}[accessor["componentType"]]
    data = _view(tree, binary, accessor["bufferView"])[accessor.get("byteOffset", 0) :]
    return np.frombuffer(data, dtype, accessor["count"] * width).reshape(-1, width).copy()
