"""A clip is looked at before it is taken in: kind, size, pixels and length, without decoding it.

    python -m threed.clip_check CLIP

A reader of strangers' files may be brought down by one, so this is a program of its own with
little memory and time: who takes clips in runs it, and only its words come back.
"""

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from threed.errors import RequestError
from threed.video_io import (
    DECODING_ERRORS,
    MAX_SOURCE_SIDE,
    clip_extent,
)

MEMORY_BYTES, CPU_SECONDS = 2 << 30, 20


@dataclass(frozen=True, kw_only=True)
class ClipFacts:
    """What a clip's headers say."""

    width: int
    height: int
    num_frames: int
    seconds: float


def inspect_clip(path: Path) -> ClipFacts:
    """Return what there is to know of a clip without decoding it.

    Raises:
        RequestError: It is no clip of a known kind, or larger or longer than is taken in.
    """
    try:
        width, height, num_frames, seconds = clip_extent(path)
    except RequestError:
        raise
    except DECODING_ERRORS as error:
        raise RequestError("the clip cannot be read, it is damaged or cut short") from error
    if num_frames < 3:
        raise RequestError(f"the clip has {num_frames} frames; a turn about an object is needed")
    return ClipFacts(width=width, height=height, num_frames=num_frames, seconds=seconds)


def answer(inspect: Callable[[Path], Any]) -> int:
    """Print the facts that are found of the file that the command line names, as JSON.

    A refusal is printed in words, and 2 is returned.
    """
    path = Path(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    Image.MAX_IMAGE_PIXELS = MAX_SOURCE_SIDE**2
    try:
        print(json.dumps(asdict(inspect(path))))
    except RequestError as error:
        print(str(error).replace(f"{path}: ", "").replace(str(path), "the file"))
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(answer(inspect_clip))
