"""A picture is looked at before it is taken in: whether there is one object in it to be cut out.

    python -m threed.picture_check PICTURE

A program of its own with little memory and time, as `threed.clip_check` is.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from threed.background import model_is_there
from threed.clip_check import answer
from threed.errors import NoPlainBackgroundError
from threed.picture import FORMATS, read_picture
from threed.picture_folder import upright_size


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """The size of what was cut out, or of the whole picture where only a model can do that."""

    width: int
    height: int


def inspect_picture(path: Path) -> PictureFacts:
    """Return the size of the object in a picture, pixels as it is held.

    Raises:
        RequestError: As `read_picture`.
    """
    try:
        height, width = read_picture(path, by_model=not model_is_there()).shape[:2]
    except NoPlainBackgroundError:
        if not model_is_there():
            raise
        # The model needs more memory than a stranger's file is given here: the worker asks it.
        width, height = upright_size(path, FORMATS)
    return PictureFacts(width=width, height=height)


if __name__ == "__main__":
    sys.exit(answer(inspect_picture))
