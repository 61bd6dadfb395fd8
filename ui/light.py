"""The light of the viewer: surroundings in which the mesh looks as its video does.

The video is lit by `threed.orbit.shade`, a sky, a ground and a key light that stand still in the
world. The viewer lights by a picture of the surroundings and blurs that far more than a surface
would, so what comes near to `shade` was fitted: a grey dome and a bright spot.
"""

import base64
import functools

import numpy as np
from jaxtyping import Float

KEY_LIGHT = (-0.45, 0.75, 0.65)
"""Towards the key light, as in `threed.orbit`."""
GROUND, SKY, KEY, KEY_SHARPNESS = 0.061, 0.277, 14.5, 32
"""Fitted to the viewer's response, which `benchmarks/viewer_light.py` judges."""
ROWS, COLUMNS = 32, 64
"""As small as the viewer takes it; half of that it shows black."""


def surroundings() -> Float[np.ndarray, "row column"]:
    """Return the light from all directions, linear: +x in the middle, +z a quarter to its right."""
    elevation = np.pi * (0.5 - (np.arange(ROWS) + 0.5) / ROWS)
    azimuth = 2 * np.pi * ((np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5)
    y = np.sin(elevation)[:, None] * np.ones(COLUMNS)
    x, z = (np.cos(elevation)[:, None] * part(azimuth) for part in (np.cos, np.sin))
    towards = np.stack([x, y, z], axis=-1) @ (np.array(KEY_LIGHT) / np.linalg.norm(KEY_LIGHT))
    return GROUND + SKY * 0.5 * (1 + y) + KEY * np.maximum(towards, 0) ** KEY_SHARPNESS


@functools.cache
def surroundings_address() -> str:
    """Return the surroundings as an address that holds them: a Radiance picture, 8 bits a channel.

    The end of the address tells the viewer the format and is no part of the data.
    """
    light = surroundings()
    mantissa, exponent = np.frexp(light)
    pixels = np.empty((ROWS, COLUMNS, 4), np.uint8)
    pixels[..., :3] = (mantissa * 256)[..., None].astype(np.uint8)
    pixels[..., 3] = (exponent + 128).astype(np.uint8)
    head = f"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {ROWS} +X {COLUMNS}\n".encode()
    data = base64.b64encode(head + pixels.tobytes()).decode()
    return f"data:image/vnd.radiance;base64,{data}#.hdr"
