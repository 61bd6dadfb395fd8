"""A decoded frame of a video, as a picture is held here: square sRGB pixels with straight alpha."""

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream
from jaxtyping import UInt8

from threed.colour_transfer import is_foreign, to_srgb

UNSPECIFIED = 2
"""What FFmpeg calls a matrix of colours that nothing names."""
LEAST_HD_HEIGHT = 720
MOST_STRETCHED = 4
"""A pixel whose sides differ more than so many times is a damaged header's, not a camera's."""


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return how many times as wide as high a stream's pixels are to be shown."""
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return aspect if 1 / MOST_STRETCHED <= aspect <= MOST_STRETCHED else Fraction(1)


def frame_pixels(
    frame: av.VideoFrame, size: tuple[int, int]
) -> UInt8[np.ndarray, "height width 4"]:
    """Return a frame at a width and height as sRGB with straight alpha."""
    with_alpha = any(part.is_alpha for part in frame.format.components)
    # Not rgba: swscale leaves rubbish in the last columns of widths that 16 does not divide.
    pixels = "gbrap" if with_alpha else "rgb24"
    foreign = is_foreign(frame.color_trc, frame.color_primaries)
    if foreign:
        # HDR has ten bits, and its dark steps are stretched.
        pixels = "gbrap16le" if with_alpha else "gbrp16le"
    untagged = frame.colorspace == UNSPECIFIED and frame.height >= LEAST_HD_HEIGHT
    reduced = frame.reformat(
        *size,
        format=pixels,
        interpolation="AREA",
        # The library takes what is not tagged for standard definition, at every size.
        src_colorspace=Colorspace.ITU709 if untagged else None,
    ).to_ndarray()
    if not foreign:
        picture = np.asarray(reduced, np.uint8)
    else:
        deep = np.asarray(reduced, np.uint16)
        colour = to_srgb(deep[..., :3], frame.color_trc, frame.color_primaries)
        picture = np.concatenate([colour, (deep[..., 3:] >> 8).astype(np.uint8)], axis=-1)
    if not with_alpha:
        picture = np.pad(picture, ((0, 0), (0, 0), (0, 1)), constant_values=255)
    return picture


def turned(frame: np.ndarray, rotation: int) -> np.ndarray:
    """Return a phone's frame the way it was held: containers say by how much to turn it."""
    return np.ascontiguousarray(np.rot90(frame, round(rotation / 90) % 4))
