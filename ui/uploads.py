"""A visitor's clip or picture on its way in: checked by a program of its own, and hashed.

The upload's name and place are Gradio's; what it is, its content alone says.
"""

import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pipelines.errors import RequestError
from pipelines.hashing import file_sha256
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.request import GenerationRequest

MAX_CLIP_BYTES, MAX_PICTURE_BYTES = 100 << 20, 30 << 20
CHECK_SECONDS = 60.0
REFUSED = 2
MAX_TITLE = 80
CLIP_TITLE, PICTURE_TITLE = "my clip", "my picture"
"""What an upload is called whose name is no words."""

logger = logging.getLogger(__name__)


def check_clip(path: Path) -> str:
    """Return the SHA-256 of a clip that may be taken in.

    Raises:
        RequestError: It is empty, too large or too long, or no clip of a known kind.
    """
    return _check(path, "clip", MAX_CLIP_BYTES)


def check_picture(path: Path) -> str:
    """Return the SHA-256 of a picture that may be taken in.

    Raises:
        RequestError: It is empty, too large, no picture of a known kind, or shows no object.
    """
    return _check(path, "picture", MAX_PICTURE_BYTES)


def file_title(path: Path, otherwise: str) -> str:
    """Return what an upload is called, from its file's name where that is words."""
    title = " ".join(path.stem.replace("_", " ").split())[:MAX_TITLE]
    try:
        return GenerationRequest(prompt=title).prompt
    except RequestError:
        # A name that is no words is no reason to refuse.
        return otherwise


def _check(path: Path, what: str, max_bytes: int) -> str:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RequestError(f"there is no such upload; hand the {what} in again") from error
    if size > max_bytes:
        raise RequestError(
            f"the {what} has {size >> 20} MiB; at most {max_bytes >> 20} are allowed"
        )
    _inspect(path, what)
    return file_sha256(path)


def _inspect(path: Path, what: str) -> None:
    command = [sys.executable, "-m", f"threed.{what}_check", str(path)]
    unreadable = f"the {what} cannot be read, it is damaged or cut short"
    try:
        done = subprocess.run(
            command,
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS,
            # Every thread of a numerical library takes of the little memory that it has.
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )
    except subprocess.TimeoutExpired as error:
        raise RequestError(f"the {what} takes too long to read; make it smaller") from error
    if done.returncode == REFUSED:
        raise RequestError(done.stdout.strip() or unreadable)
    if done.returncode:
        # It was brought down, which is what it is there for.
        logger.warning("a %s brought its reader down (status %s)", what, done.returncode)
        raise RequestError(unreadable)


def forget_upload(path: Path) -> None:
    """Remove an upload from Gradio's cache once it was taken in or refused."""
    with suppress(OSError):
        path.unlink()
