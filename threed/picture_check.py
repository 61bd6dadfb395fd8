"""A picture is looked at before it is taken in: whether there is one object in it to be cut out.

    python -m threed.picture_check PICTURE

A program of its own with little memory and time, as `threed.clip_check` is.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from threed.clip_check import answer
from threed.picture import read_picture


@dataclass(frozen=True, kw_only=True)
class PictureFacts:
    """The size of what was cut out."""

    width: int
    height: int


def inspect_picture(path: Path) -> PictureFacts:
    """Return the size of the object in a picture, pixels as it is held.

    Raises:
        RequestError: As `read_picture`.
    """
    height, width = read_picture(path).shape[:2]
    return PictureFacts(width=width, height=height)


if __name__ == "__main__":
    sys.exit(answer(inspect_picture))
