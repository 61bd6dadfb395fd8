"""Of what kind a video is, read from its orbit.npz without unpacking its frames; loads no torch."""

import zlib
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

MAX_KIND_BYTES = 1024


def read_kind(path: Path) -> str | None:
    """Return `orbit`, `clip` or whatever else an orbit.npz says that it is; None if it does not."""
    try:
        with ZipFile(path) as archive, archive.open("kind.npy") as file:
            data = file.read(MAX_KIND_BYTES)
        return str(np.lib.format.read_array(BytesIO(data), allow_pickle=False))
    except (OSError, ValueError, LookupError, EOFError, RuntimeError, zlib.error, BadZipFile):
        # Whoever reads all of it says what is wrong with it.
        return None
