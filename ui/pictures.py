"""Small pictures of a run's files, as img elements that carry their picture inside the page."""

import base64
import functools
import html
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from PIL import Image

from threed.errors import RequestError
from threed.export_formats import picture_over_white
from threed.textured_mesh import read_own_glb

Found = TypeVar("Found", str, tuple[str, ...])
KEPT = 2048
"""Pictures that are remembered, some 3 kB each."""


def thumbnail(path: Path, side: int) -> str:
    """Return one of a run's frames over white; nothing where the file has gone."""
    return _guarded(_thumbnail, "", path, side)


def film_start(path: Path, side: int) -> str:
    """Return an orbit video's first frame; nothing where the file has gone."""
    return _guarded(_film_start, "", path, side)


def film_frames(path: Path, side: int) -> tuple[str, ...]:
    """Return all of an orbit video's frames; none where the file has gone."""
    return _guarded(_film_frames, (), path, side)


def texture_picture(path: Path, side: int) -> str:
    """Return the texture in a run's GLB, reduced; nothing where that has gone."""
    return _guarded(_texture_picture, "", path, side)


def _guarded(draw: Callable[..., Found], nothing: Found, path: Path, side: int) -> Found:
    try:
        # By when the file was made, for a job that is run again has other files.
        return draw(path, path.stat().st_mtime_ns, side)
    except (OSError, RequestError, ValueError):
        return nothing


@functools.lru_cache(maxsize=KEPT)
def _thumbnail(path: Path, made: int, side: int) -> str:
    return _element(picture_over_white(path, side), side)


@functools.lru_cache(maxsize=KEPT)
def _film_start(path: Path, made: int, side: int) -> str:
    from threed.video_io import film_pictures

    return next((_element(frame, side) for frame in film_pictures(path)), "")


@functools.lru_cache(maxsize=KEPT // 16)
def _film_frames(path: Path, made: int, side: int) -> tuple[str, ...]:
    from threed.video_io import film_pictures

    return tuple(_element(frame, side) for frame in film_pictures(path))


@functools.lru_cache(maxsize=KEPT // 16)
def _texture_picture(path: Path, made: int, side: int) -> str:
    return _element(Image.fromarray(read_own_glb(path).texture), side)


def _element(picture: Image.Image, side: int) -> str:
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, format="WEBP", quality=85)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="" src="data:image/webp;base64,{html.escape(data)}">'
