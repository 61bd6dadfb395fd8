"""A visitor's clip on its way in: checked by a program of its own, and hashed.

The upload's name and place are Gradio's; what it is, its content alone says.
"""

import hashlib
import logging
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pipelines.errors import RequestError
from pipelines.jobs.supervisor import PROJECT_ROOT

MAX_CLIP_BYTES = 100 << 20
CHECK_SECONDS = 60.0
REFUSED = 2
UNREADABLE = "the clip cannot be read, it is damaged or cut short"

logger = logging.getLogger(__name__)


def check_clip(path: Path) -> str:
    """Return the SHA-256 of a clip that may be taken in.

    Raises:
        RequestError: It is empty, too large or too long, or no clip of a known kind.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RequestError("there is no such upload; hand the clip in again") from error
    if size > MAX_CLIP_BYTES:
        raise RequestError(
            f"the clip has {size >> 20} MiB; at most {MAX_CLIP_BYTES >> 20} are allowed"
        )
    _inspect(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inspect(path: Path) -> None:
    command = [sys.executable, "-m", "threed.clip_check", str(path)]
    try:
        done = subprocess.run(
            command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=CHECK_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise RequestError("the clip takes too long to read; make it shorter") from error
    if done.returncode == REFUSED:
        raise RequestError(done.stdout.strip() or UNREADABLE)
    if done.returncode:
        # It was brought down, which is what it is there for.
        logger.warning("a clip brought its reader down (status %s)", done.returncode)
        raise RequestError(UNREADABLE)


def forget_upload(path: Path) -> None:
    """Remove an upload from Gradio's cache once it was taken in or refused."""
    with suppress(OSError):
        path.unlink()
