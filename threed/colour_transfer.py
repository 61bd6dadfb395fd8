"""Colours of HDR and wide-gamut video, as today's phones film them, brought to sRGB.

ITU-R BT.2100-2: a signal becomes the light that its reference display shows, HLG's by table 5 on
a display of 1,000 nits, PQ's by table 4. Light in BT.2020's primaries is brought to BT.709's and
scaled such that reference white, 203 nits by BT.2408, is white.
"""

from functools import cache

import numpy as np
from jaxtyping import Float, UInt8, UInt16

HLG, PQ = 18, 16
"""Transfer characteristics, and below primaries, by their numbers in ITU-T H.273."""
BT709, BT2020 = 1, 9
NAMES = {HLG: "HLG", PQ: "PQ"}
WHITE_NITS = 203.0
PQ_NITS = 10_000.0
HLG_NITS = 1_000.0
HLG_GAMMA = 1.2
"""The reference display's system gamma at these nits."""
LUMINANCE = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
"""Of light in BT.2020's primaries."""
BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]],
    dtype=np.float32,
)
MOST = 65535


def is_foreign(transfer: int, primaries: int) -> bool:
    """Return whether signals so tagged are anything but what sRGB comes near to."""
    return transfer in NAMES or primaries == BT2020


def note(transfer: int) -> str:
    """Return what was done to a foreign clip, for the user."""
    if transfer in NAMES:
        return f"the clip is HDR ({NAMES[transfer]}): its light and BT.2020 colours became sRGB"
    return "the clip's BT.2020 colours became sRGB"


def to_srgb(
    signal: UInt16[np.ndarray, "height width 3"], transfer: int, primaries: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Return sRGB colours of R'G'B' signals; what is brighter than reference white is clipped.

    Args:
        signal: Full range, 65535 is one.
        transfer: HLG or PQ; any other is taken for sRGB's own curve, as ordinary clips are.
        primaries: BT709 are left as they are; any other are taken for BT.2020's, which HDR has.
    """
    light = _curve(transfer)[signal]
    if transfer == HLG:
        # The display's gamma acts on the luminance and leaves the hue.
        light *= (light @ LUMINANCE)[..., None] ** (HLG_GAMMA - 1)
        light *= HLG_NITS / WHITE_NITS
    if primaries != BT709:
        light = light @ BT2020_TO_BT709.T
    return _encoded()[np.rint(light.clip(0, 1) * MOST).astype(np.uint16)]


@cache
def _curve(transfer: int) -> Float[np.ndarray, " code"]:
    """Return the light of every code: HLG's before the display's gamma, others' in whites."""
    code = np.arange(MOST + 1) / MOST
    if transfer == HLG:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(code <= 0.5, code**2 / 3, (np.exp((code - c) / a) + b) / 12)
    elif transfer == PQ:
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        power = code ** (1 / m2)
        light = (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * PQ_NITS / WHITE_NITS
    else:
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
    return light.astype(np.float32)


@cache
def _encoded() -> UInt8[np.ndarray, " code"]:
    """Return sRGB's byte for every sixteen-bit step of light."""
    light = np.arange(MOST + 1) / MOST
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * value).astype(np.uint8)
