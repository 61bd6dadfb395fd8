"""A binary glTF (GLB) taken apart and put together again: other pictures, another place, less room.

For files that this program wrote. Importing this loads no torch.
"""

import io
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from threed.file_size import SizeBudget
from threed.upright import Up

GLTF_USHORT, GLTF_UINT = 5123, 5125
WEBP = "EXT_texture_webp"
PICTURE_NAMES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WebP"}
JSON_CHUNK, BINARY_CHUNK = b"JSON", b"BIN\0"

PictureKind = Literal["png", "jpeg", "webp"]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """How a texture is kept in a file."""

    kind: PictureKind
    quality: int = 100
    """Of JPEG and WebP, 1 to 100; PNG loses nothing."""

    def encode(self, texture: UInt8[np.ndarray, "height width 3"]) -> bytes:
        """Return the picture as a file's bytes."""
        buffer = io.BytesIO()
        image = Image.fromarray(texture, mode="RGB")
        if self.kind == "png":
            image.save(buffer, format="PNG")
        elif self.kind == "jpeg":
            # Colours at full resolution: charts of different colours lie close together.
            image.save(buffer, format="JPEG", quality=self.quality, subsampling=0)
        else:
            image.save(buffer, format="WEBP", quality=self.quality, method=4)
        return buffer.getvalue()


def taken_apart(data: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return the JSON tree of a GLB and the bytes of each of its buffer views.

    Raises:
        ValueError, LookupError, TypeError, struct.error: It is no whole GLB with one buffer.
    """
    magic, version, total = struct.unpack_from("<4sII", data)
    length, kind = struct.unpack_from("<I4s", data, 12)
    if (magic, version, kind) != (b"glTF", 2, JSON_CHUNK):
        raise ValueError("not a binary glTF")
    if total > len(data):
        raise ValueError("the file ends too early")
    tree = json.loads(data[20 : 20 + length])
    binary = data[20 + length + 8 :]
    views = []
    for view in tree["bufferViews"]:
        start = view.get("byteOffset", 0)
        views.append(binary[start : start + view["byteLength"]])
    return tree, views


def put_together(tree: dict[str, Any], views: list[bytes]) -> bytes:
    """Return the GLB of a tree and its views' bytes, whatever their lengths have become."""
    binary = bytearray()
    for entry, view in zip(tree["bufferViews"], views, strict=True):
        entry["byteOffset"], entry["byteLength"] = len(binary), len(view)
        binary += view + bytes(-len(view) % 4)
    tree["buffers"] = [{"byteLength": len(binary)}]
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sII", b"glTF", 2, 12 + 8 + len(text) + 8 + len(binary))
    chunks = (
        struct.pack("<I4s", len(text), JSON_CHUNK) + text,
        struct.pack("<I4s", len(binary), BINARY_CHUNK) + binary,
    )
    return head + b"".join(chunks)


def with_picture(data: bytes, picture: bytes, kind: PictureKind) -> bytes:
    """Return the GLB with its one texture replaced by an encoded picture."""
    tree, views = taken_apart(data)
    (image,), (texture,) = tree["images"], tree["textures"]
    image["mimeType"] = f"image/{kind}"
    views[image["bufferView"]] = picture
    for listing in ("extensionsUsed", "extensionsRequired"):
        names = [name for name in tree.pop(listing, []) if name != WEBP]
        # Without another picture to fall back on, a reader must know WebP.
        if names := [*names, WEBP] if kind == "webp" else names:
            tree[listing] = names
    texture.pop("extensions", None)
    texture["source"] = 0
    if kind == "webp":
        del texture["source"]
        texture["extensions"] = {WEBP: {"source": 0}}
    return put_together(tree, views)


def with_short_indices(data: bytes) -> bytes:
    """Return the GLB with its corners as 16-bit numbers where those can count its vertices."""
    tree, views = taken_apart(data)
    (body,) = tree["meshes"][0]["primitives"]
    accessor = tree["accessors"][body["indices"]]
    corners = np.frombuffer(views[accessor["bufferView"]], "<u4")
    # The highest number is reserved for the restart of strips.
    if accessor["componentType"] != GLTF_UINT or corners.max(initial=0) >= 0xFFFF:
        return data
    accessor["componentType"] = GLTF_USHORT
    views[accessor["bufferView"]] = corners.astype("<u2").tobytes()
    return put_together(tree, views)


def moved(data: bytes, shift: Float[np.ndarray, " 3"], extras: dict[str, object]) -> bytes:
    """Return the GLB with its vertices shifted and entries added to its `asset.extras`.

    Everything else, the texture above all, stays as it is to the bit.
    """
    tree, views = taken_apart(data)
    (body,) = tree["meshes"][0]["primitives"]
    accessor = tree["accessors"][body["attributes"]["POSITION"]]
    places = np.frombuffer(views[accessor["bufferView"]], "<f4").reshape(-1, 3)
    places = (places + shift.astype(np.float32)).astype("<f4")
    accessor["min"], accessor["max"] = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    views[accessor["bufferView"]] = places.tobytes()
    tree["asset"]["extras"] = {**tree["asset"].get("extras", {}), **extras}
    return put_together(tree, views)


def budget_of(path: Path) -> SizeBudget | None:
    """Return the limit that a GLB of this program was made for; None where there was none."""
    tree, _ = taken_apart(path.read_bytes())
    found = tree["meshes"][0].get("extras", {}).get("size_budget")
    return None if found is None else SizeBudget(**found)


def up_of(path: Path) -> Up:
    """Return which axis of its mesh a GLB of this program stands up."""
    tree, _ = taken_apart(path.read_bytes())
    return "z" if any("rotation" in node for node in tree["nodes"]) else "y"


def texture_kind(path: Path) -> str:
    """Return what the texture in a GLB is kept as: PNG, JPEG or WebP."""
    tree, _ = taken_apart(path.read_bytes())
    return PICTURE_NAMES[tree["images"][0]["mimeType"]]
