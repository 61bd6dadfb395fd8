"""Frames of a running chain as one small picture: a contact sheet."""

import io

import numpy as np
from einops import rearrange
from jaxtyping import UInt8
from PIL import Image

NUM_TILES = 8
NUM_COLUMNS = 4
MAX_TILE = 192
"""Pixels; the sheet crosses the network about once a second."""


def contact_sheet(
    frames: UInt8[np.ndarray, "frame height width 3"],
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Return `NUM_TILES` equally spaced frames in rows of `NUM_COLUMNS`; of fewer, the first."""
    if len(frames) < NUM_TILES:
        return frames[0]
    chosen = frames[[i * len(frames) // NUM_TILES for i in range(NUM_TILES)]]
    return rearrange(
        chosen, "(row column) height width c -> (row height) (column width) c", column=NUM_COLUMNS
    )


def encode_preview(frames: UInt8[np.ndarray, "frame height width 3"]) -> bytes:
    """Return the contact sheet of the frames as JPEG, its tiles no larger than `MAX_TILE`."""
    image = Image.fromarray(contact_sheet(frames))
    shrink = min(1.0, MAX_TILE / max(frames.shape[1:3]))
    if len(frames) >= NUM_TILES and shrink < 1.0:
        size = (round(image.width * shrink), round(image.height * shrink))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # Full colour resolution, for small pictures are shown enlarged.
    image.save(buffer, format="JPEG", quality=90, subsampling=0)
    return buffer.getvalue()
