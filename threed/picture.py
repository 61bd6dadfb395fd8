"""One picture of an object: read, its object told from the background, and cut out.

Alpha says what is object. In a picture that has none, the background is taken away as a clip's is:
a plain one, or any where a segmentation model is there. A file is judged by its content, never by
its name.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from threed.background import PictureCutter
from threed.errors import RequestError
from threed.matte import check_one_object, without_specks
from threed.picture_folder import read_upright, upright_size
from threed.video_io import MAX_SIDE, has_holes

FORMATS = ("PNG", "JPEG", "WEBP")
MAX_PIXELS = 50_000_000
LEAST_SIDE = 32
LEAST_OBJECT = 16
"""Pixels of its outline's longer side; of less nothing can be seen."""
MOST_OPAQUE = 0.97
"""A picture of which alpha leaves more than that has round corners, not an outline."""
MOST_CUT_OFF = 0.02
"""The share of a picture's edge that an object may touch which was not cut out beforehand."""


def read_picture(path: Path, by_model: bool = True) -> Float[np.ndarray, "height width 4"]:
    """Return the object in a picture: premultiplied RGBA in [0, 1], cut to its outline.

    Args:
        path: Of the file.
        by_model: Whether a segmentation model, if there, may cut out what stands before no plain
            background.

    Raises:
        NoPlainBackgroundError: The background is not plain, and no model is there or allowed.
        RequestError: It is no picture of a known kind, too large or too small, or no single whole
            object stands out from it.
        InstallationError: A segmentation model is there, is needed, and is damaged.
    """
    try:
        width, height = upright_size(path, FORMATS)
        if min(width, height) < LEAST_SIDE:
            raise RequestError(
                f"the picture has {width} x {height} pixels; at least {LEAST_SIDE} a side are "
                "needed"
            )
        if width * height > MAX_PIXELS:
            raise RequestError(
                f"the picture has {width} x {height} pixels, {width * height / 1e6:.0f} million; "
                f"at most {MAX_PIXELS // 10**6} million are taken, so make it smaller"
            )
        return cut_out(read_upright(path, MAX_SIDE, FORMATS), by_model)
    except RequestError as error:
        # Where it lies is no visitor's business.
        words = str(error).replace(f"{path}: ", "").replace(str(path), "the file")
        raise type(error)(words) from error


def cut_out(
    picture: UInt8[np.ndarray, "height width 4"], by_model: bool = True
) -> Float[np.ndarray, "rows columns 4"]:
    """Return the object in a picture with straight alpha: premultiplied, cut to its outline.

    Raises:
        RequestError: No single whole object stands out.
        InstallationError: As `read_picture`.
    """
    if has_holes([picture]):
        rgba = picture.astype(np.float32) / 255
        rgba[..., :3] *= rgba[..., 3:]
        solid = without_specks(rgba[..., 3] > 0.5)
        if solid.mean() > MOST_OPAQUE:
            raise RequestError(
                "the object fills the picture; its background must be transparent, or plain with "
                "room on all sides"
            )
        if not solid.any():
            raise RequestError("nothing is to be seen in the picture, it is transparent everywhere")
    else:
        rgba = PictureCutter(by_model).cut(picture[..., :3])
        solid = without_specks(rgba[..., 3] > 0.5)
        edge = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])
        if edge.mean() > MOST_CUT_OFF:
            raise RequestError(
                "the object reaches over the picture's edge; show all of it, with room on all sides"
            )
    _check_single(solid)
    rows, columns = np.flatnonzero(solid.any(axis=1)), np.flatnonzero(solid.any(axis=0))
    cut = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    if max(cut.shape[:2]) < LEAST_OBJECT:
        raise RequestError(
            f"the object in the picture is {cut.shape[1]} x {cut.shape[0]} pixels small; at least "
            f"{LEAST_OBJECT} are needed"
        )
    return cut


def _check_single(solid: np.ndarray) -> None:
    try:
        check_one_object(solid[None].astype(np.float32))
    except RequestError as error:
        raise RequestError("the picture shows more than one object; show one at a time") from error
