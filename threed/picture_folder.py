"""A folder of pictures, as cameras and burst modes leave them, read as the frames of a clip."""

import re
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from threed.errors import RequestError
from threed.frame_choice import FrameChoice
from threed.picture_file import DAMAGE, SIDEWAYS, orientation, straight_srgb, turned_upright
from threed.video_io import MAX_FRAMES, MAX_SIDE, MAX_SOURCE_SIDE, Clip, has_holes, reduced_size

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
MAX_PICTURES = 2000


def pictures_in(folder: Path) -> list[Path]:
    """Return a folder's pictures in the order a person counts in: 2 before 10."""
    # Where names begin with a dot, macOS keeps what it knows of a picture, not a picture.
    found = [
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    ]
    return sorted(found, key=lambda path: [_part(part) for part in re.split(r"(\d+)", path.name)])


def _part(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (0, text.lower())


def read_pictures(folder: Path, max_frames: int = MAX_FRAMES, max_side: int = MAX_SIDE) -> Clip:
    """Return a folder's pictures, in the order of their names, as a clip.

    Raises:
        RequestError: There are too many, one cannot be read, or they differ in size.
    """
    paths = pictures_in(folder)
    if len(paths) > MAX_PICTURES:
        raise RequestError(f"{folder} holds {len(paths)} pictures; at most {MAX_PICTURES}")
    choice = FrameChoice(len(paths), max_frames)
    size: tuple[int, int] | None = None
    for path in paths:
        # A header costs nothing, so every size is compared before the first picture is unpacked.
        this = upright_size(path)
        size = size or this
        if this != size:
            raise RequestError(
                f"{path} is {this[0]} x {this[1]} pixels, but {paths[0].name} is {size[0]} x "
                f"{size[1]}; the pictures of a turn must be of one size"
            )
    for index, path in enumerate(paths):
        if choice.wants(index):
            choice.offer(index, read_upright(path, max_side))
    frames = choice.frames
    return Clip(
        frames=np.stack(frames),
        has_alpha=has_holes(frames),
        num_source_frames=len(paths),
        indices=choice.indices,
    )


def upright_size(path: Path, formats: tuple[str, ...] = FORMATS) -> tuple[int, int]:
    """Return a picture's width and height as it is to be held; nothing is unpacked.

    Raises:
        RequestError: It cannot be read, is of another kind, or has too many pixels.
    """
    try:
        with Image.open(path, formats=formats) as image:
            width, height = image.size
            if orientation(image) >= SIDEWAYS:
                width, height = height, width
    except UnidentifiedImageError as error:
        raise RequestError(f"{path} is no picture ({', '.join(formats)})") from error
    except DAMAGE as error:
        raise RequestError(f"{path} cannot be read, it may be cut short: {error}") from error
    if max(width, height) > MAX_SOURCE_SIDE:
        raise RequestError(f"{path} is {width} x {height} pixels; at most {MAX_SOURCE_SIDE} a side")
    return width, height


def read_upright(
    path: Path, max_side: int, formats: tuple[str, ...] = FORMATS
) -> UInt8[np.ndarray, "height width 4"]:
    """Return a picture as it is to be held, sRGB with straight alpha, its longer side at most so.

    Raises:
        RequestError: It cannot be read.
    """
    try:
        with Image.open(path, formats=formats) as image:
            held = orientation(image)
            size = reduced_size(image.width, image.height, max_side)
            # A JPEG is unpacked at an eighth to a half of its size where that is enough.
            image.draft("RGB", size)
            # Averaging what is premultiplied mixes no hidden colours in.
            small = straight_srgb(image).convert("RGBa").resize(size, Image.Resampling.HAMMING)
        return np.array(turned_upright(small.convert("RGBA"), held))
    except DAMAGE as error:
        raise RequestError(f"{path} cannot be read, it may be cut short: {error}") from error
