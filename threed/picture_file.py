"""What a picture's file says of itself beside its pixels: which way up, how deep, whose colours.

Each is read by one rule wherever strangers' pictures come in. A damaged note about a sound picture
is as good as none.
"""

import struct
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms

DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for damaged pictures."""
DEEP_GREY = "I;16"
"""Pillow's name for 16 bits of grey, which it takes for numbers and clips at 255."""
ORIENTATION = 0x0112
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = 5
"""From here on orientations lie on their side."""
COLOUR_MODES = {b"RGB ": "RGBA", b"GRAY": "L", b"CMYK": "CMYK"}
"""Which pixels a profile is for, by the name of its colour space, bytes 16 to 19 (ICC.1, 7.2)."""
ROUNDING = 2
"""Of 255: profiles that change no colour by more are sRGB, in one of many spellings."""


def orientation(image: Image.Image) -> int:
    """Return how a picture that was just opened is held, 1 to 8 as EXIF counts; 1 is upright.

    Nothing is unpacked, so what a PNG says only behind its pixels is not heard.
    """
    try:
        # PNG's own `getexif` would unpack the whole picture to look behind it.
        value = Image.Image.getexif(image).get(ORIENTATION)
    except (*DAMAGE, TypeError):
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def turned_upright(image: Image.Image, held: int) -> Image.Image:
    """Return a picture as it was held."""
    return image.transpose(TURNS[held]) if held in TURNS else image


def eight_bits(image: Image.Image) -> Image.Image:
    """Return a picture whose channels have 8 bits, for the 16 bits of grey that a PNG may have."""
    if image.mode != DEEP_GREY:
        return image
    values = np.asarray(image)
    # By a table: 50 million numbers of more than 16 bits would be a lot of memory.
    grey = Image.fromarray(((np.arange(1 << 16) + 128) // 257).astype(np.uint8)[values])
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        grey.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    return grey


def straight_srgb(image: Image.Image) -> Image.Image:
    """Return a picture as RGBA, sRGB with straight alpha, its profile followed if it has one."""
    shallow = eight_bits(image)
    rgba = shallow.convert("RGBA")
    profile = image.info.get("icc_profile")
    return _by_profile(shallow, rgba, profile) if profile else rgba


def _by_profile(image: Image.Image, rgba: Image.Image, profile: bytes) -> Image.Image:
    """Return RGBA with the colours that a profile means, or as it is where that is damaged."""
    mode = COLOUR_MODES.get(profile[16:20])
    if mode is None or not _suits(image, mode):
        return rgba
    try:
        given = ImageCms.ImageCmsProfile(BytesIO(profile))
        # A paper's black is brought to black, as viewers do; screens have none.
        transform = ImageCms.buildTransform(
            given,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGBA" if mode == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if _is_srgb(transform, mode):
            return rgba
        if mode == "RGBA":
            # In place, for a large picture is there twice already; alpha stays as it is.
            ImageCms.applyTransform(rgba, transform, inPlace=True)
            return rgba
        pixels = image if mode == "CMYK" else rgba.getchannel("R")
        told = ImageCms.applyTransform(pixels, transform)
    except (OSError, ValueError, ImageCms.PyCMSError):
        return rgba
    assert told is not None
    told.putalpha(rgba.getchannel("A"))
    return told


def _suits(image: Image.Image, mode: str) -> bool:
    if mode == "L":
        return image.mode in ("1", "L", "LA")
    return (mode == "CMYK") == (image.mode == "CMYK")


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Return whether a transform leaves colours from all over the cube where they are."""
    levels = np.linspace(0, 255, 9).astype(np.uint8)
    cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(27, 27, 3)
    probe = Image.fromarray(cube).convert(mode)
    told = ImageCms.applyTransform(probe, transform)
    assert told is not None
    change = np.asarray(told.convert("RGB")).astype(int) - np.asarray(probe.convert("RGB"))
    return bool(np.abs(change).max() <= ROUNDING)
