"""Contact sheets as PNG files, written with the standard library alone."""

import struct
import zlib
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor


def write_png(image: UInt8[np.ndarray, "height width 3"], path: Path) -> None:
    """Write an RGB image (PNG specification, section 5: one IHDR, one IDAT, one IEND)."""
    height, width = image.shape[:2]
    rows = np.concatenate([np.zeros((height, 1), np.uint8), image.reshape(height, -1)], axis=1)

    def chunk(kind: bytes, data: bytes) -> bytes:
        checksum = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
        + chunk(b"IEND", b"")
    )


def contact_sheet(
    images: Float[Tensor, "row column height width 3"],
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return images in [0, 1] laid out in a grid."""
    grid = rearrange(images.clamp(0, 1), "r c h w rgb -> (r h) (c w) rgb")
    return (grid * 255).round().to(torch.uint8).cpu().numpy()
