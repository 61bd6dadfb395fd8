"""The pictures that a transforms.json names: their lenses, and the object cut out of each."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError

from threed.aim import seen_at
from threed.background import PictureCutter
from threed.errors import RequestError
from threed.picture_file import DAMAGE, DEEP_GREY, eight_bits, straight_srgb
from threed.resample import Lens

MAX_PICTURE_SIDE = 8192
MAX_WORKING_SIDE = 1024
PICTURE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
PICTURE_MODES = ("RGB", "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", DEEP_GREY)
# A mask without a value above these, of 255, is no faint one: the values number its parts.
MAX_LABEL = 25
# A number may have more digits than a float holds, and what is built on it squares and cubes it.
MAX_NUMBER = 1e9
# The longer side sees from under a hundredth of a degree to all but half of everything.
FOCAL_LENGTHS = (1e-2, 1e4)


@dataclass(frozen=True, kw_only=True)
class View:
    """One entry of a transforms.json."""

    path: Path
    mask_path: Path | None
    c2w: Float[np.ndarray, "4 4"]
    entry: dict[str, Any]
    """The frame's own keys over those that stand for all."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture's file as read, reduced to working size."""

    pixels: np.ndarray
    """In [0, 1]; height width, and 4 for premultiplied RGBA."""
    width: int
    """Of the file, pixels."""
    height: int
    """Of the file, pixels."""
    has_alpha: bool
    """Whether the file tells alpha, be it 1 everywhere."""


def read_objects(
    views: list[View], cutter: PictureCutter, middle: Float[np.ndarray, " 3"]
) -> list[tuple[Float[np.ndarray, "height width 4"], Lens]]:
    """Return what each view shows of the object, premultiplied RGBA, with the lens of its pixels.

    Args:
        views: At least one.
        cutter: Cuts the pictures out that have neither alpha nor mask.
        middle: What all cameras look at.

    Raises:
        RequestError: A file is missing, damaged or no picture of that lens, or shows no object.
        InstallationError: A segmentation model is there, is needed, and is damaged.
    """
    pictures = [_read_picture(view.path, _premultiplied) for view in views]
    lenses = [_lens(view, picture) for view, picture in zip(views, pictures, strict=True)]
    # Many an exporter writes an alpha that is full everywhere, which says nothing. But beside
    # pictures with holes a full one is of an object that fills it.
    told = any(_has_holes(picture) for picture in pictures)
    shown = []
    for view, picture, lens in zip(views, pictures, lenses, strict=True):
        pixels = picture.pixels
        if not _has_holes(picture):
            if view.mask_path is not None:
                pixels = pixels * _read_mask(view.mask_path, view.path, pixels)[..., None]
            elif not (told and picture.has_alpha):
                pixels = _cut(view, pixels, lens, cutter, middle)
        shown.append((pixels, lens))
    return shown


def _has_holes(picture: Picture) -> bool:
    return bool(picture.pixels[..., 3].min() <= 0.5)


def _cut(
    view: View,
    pixels: Float[np.ndarray, "height width 4"],
    lens: Lens,
    cutter: PictureCutter,
    middle: Float[np.ndarray, " 3"],
) -> Float[np.ndarray, "height width 4"]:
    rgb = np.rint(255 * pixels[..., :3]).astype(np.uint8)
    try:
        return cutter.cut(rgb, seen_at(middle, view.c2w, lens, rgb.shape[1], rgb.shape[0]))
    except RequestError as error:
        raise RequestError(f"{view.path} has no alpha, and {error}") from error


def _read_mask(
    path: Path, picture_path: Path, pixels: Float[np.ndarray, "height width 4"]
) -> Float[np.ndarray, "height width"]:
    mask = _read_picture(path, _as_mask).pixels
    if mask.shape != pixels.shape[:2]:
        raise RequestError(f"{path} has another size than {picture_path}")
    return mask


def _premultiplied(image: Image.Image) -> Image.Image:
    # Averaging what is premultiplied mixes no hidden colours in.
    return straight_srgb(image).convert("RGBa")


def _as_mask(image: Image.Image) -> Image.Image:
    """Return a mask as 8 bits of coverage; to nerfstudio whatever is not zero is the object.

    A palette's colours are for the eye, its indices count. Grey levels up to white are a soft edge.
    """
    values = np.asarray(image if image.mode in ("P", DEEP_GREY) else image.convert("L"))
    cover = np.asarray(eight_bits(image).convert("L"))
    if image.mode == "P" or cover.max() <= MAX_LABEL:
        cover = np.where(values > 0, 255, 0).astype(np.uint8)
    return Image.fromarray(cover)


def _read_picture(path: Path, prepare: Callable[[Image.Image], Image.Image]) -> Picture:
    try:
        with Image.open(path, formats=PICTURE_FORMATS) as image:
            width, height = image.size
            if max(width, height) > MAX_PICTURE_SIDE:
                raise RequestError(
                    f"{path} is {width} x {height} pixels; at most {MAX_PICTURE_SIDE} a side"
                )
            if image.mode not in PICTURE_MODES:
                raise RequestError(f"{path} has pixels of kind {image.mode}; 8 bits are needed")
            scale = min(1.0, MAX_WORKING_SIDE / max(width, height))
            small = (max(1, round(width * scale)), max(1, round(height * scale)))
            picture = prepare(image).resize(small, Image.Resampling.HAMMING)
            return Picture(
                pixels=np.asarray(picture, dtype=np.float32) / 255,
                width=width,
                height=height,
                has_alpha=image.has_transparency_data,
            )
    except RequestError:
        raise
    except FileNotFoundError as error:
        raise RequestError(f"transforms.json names {path}, which is not there") from error
    except UnidentifiedImageError as error:
        raise RequestError(f"{path} is no picture ({', '.join(PICTURE_FORMATS)})") from error
    except DAMAGE as error:
        raise RequestError(f"{path} cannot be read, it may be cut short: {error}") from error


def _lens(view: View, picture: Picture) -> Lens:
    """Return a view's lens in the pixels of its picture as reduced."""
    width, height = picture.width, picture.height
    w, h = _number(view, "w", float(width)), _number(view, "h", float(height))
    if min(w, h) < 1 or abs(w * height - h * width) > max(w, h, width, height):
        raise RequestError(
            f"{view.path} is {width} x {height} pixels, but transforms.json says {w:g} x {h:g}"
        )
    angle_x, angle_y = _number(view, "camera_angle_x", 0.0), _number(view, "camera_angle_y", 0.0)
    from_angle_x = 0.5 * w / math.tan(angle_x / 2) if 0 < angle_x < math.pi else 0.0
    from_angle_y = 0.5 * h / math.tan(angle_y / 2) if 0 < angle_y < math.pi else 0.0
    fl_x = _number(view, "fl_x", from_angle_x)
    fl_y = _number(view, "fl_y", from_angle_y or fl_x)
    fl_x = fl_x or fl_y
    cx, cy = _number(view, "cx", w / 2), _number(view, "cy", h / 2)
    if not (fl_x > 0 and fl_y > 0):
        raise RequestError(f"{view.path}: transforms.json gives no focal length (fl_x) above 0")
    least, most = (share * max(w, h) for share in FOCAL_LENGTHS)
    if not (least <= min(fl_x, fl_y) and max(fl_x, fl_y) <= most):
        raise RequestError(
            f"{view.path}: transforms.json gives a focal length of {fl_x:g} x {fl_y:g} pixels for "
            f"{w:g} x {h:g}; can be {least:g} to {most:g}"
        )
    if not (0 < cx < w and 0 < cy < h):
        raise RequestError(f"{view.path}: the principal point {cx:g}, {cy:g} lies off the picture")
    given = view.entry.get("distortion_params")
    keys = ("k1", "k2", "k3", "k4", "p1", "p2")
    if isinstance(given, list) and len(given) == len(keys):
        view = replace(view, entry=view.entry | dict(zip(keys, given, strict=True)))
    k1, k2, k3, k4, p1, p2 = (_number(view, key, 0.0) for key in keys)
    lens = Lens(fl_x=fl_x, fl_y=fl_y, cx=cx, cy=cy, radial=(k1, k2, k3, k4), tangential=(p1, p2))
    return lens.scaled(picture.pixels.shape[1] / w, picture.pixels.shape[0] / h)


def _number(view: View, key: str, default: float) -> float:
    value = view.entry.get(key, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    # Written so that what is not a number is refused with what is too large.
    if not (is_number and abs(value) <= MAX_NUMBER):
        raise RequestError(
            f"{view.path}: transforms.json gives {short(value)} for {key}, not a number up to "
            f"{MAX_NUMBER:g}"
        )
    return float(value)
