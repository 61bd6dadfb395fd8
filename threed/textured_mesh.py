"""A mesh with its texture, as it is baked, and as a GLB of ours holds it. Loads no torch."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from threed.errors import RequestError
from threed.glb import WEBP, taken_apart

DTYPES = {5121: "u1", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
"""NumPy's names of glTF's component types."""
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
    tree, views = taken_apart(data)
    (body,) = tree["meshes"][0]["primitives"]
    texture = tree["textures"][
        tree["materials"][body["material"]]["pbrMetallicRoughness"]["baseColorTexture"]["index"]
    ]
    source = texture.get("extensions", {}).get(WEBP, texture)["source"]
    picture = io.BytesIO(views[tree["images"][source]["bufferView"]])
    with Image.open(picture, formats=("PNG", "JPEG", "WEBP")) as image:
        if max(image.size) > MAX_TEXTURE_SIDE:
            raise ValueError(f"a texture of {image.width} x {image.height} pixels")
        pixels = np.array(image.convert("RGB"))
    uv = _array(tree, views, body["attributes"]["TEXCOORD_0"], 2)
    return TexturedMesh(
        vertices=_array(tree, views, body["attributes"]["POSITION"], 3),
        normals=_array(tree, views, body["attributes"]["NORMAL"], 3),
        # glTF counts v from the picture's top.
        uv=np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1),
        faces=_array(tree, views, body["indices"], 1).reshape(-1, 3).astype(np.int64),
        texture=pixels,
    )


def _array(tree: dict, views: list[bytes], index: int, width: int) -> np.ndarray:
    accessor = tree["accessors"][index]
    dtype = DTYPES[accessor["componentType"]]
    data = views[accessor["bufferView"]][accessor.get("byteOffset", 0) :]
    return np.frombuffer(data, dtype, accessor["count"] * width).reshape(-1, width).copy()
