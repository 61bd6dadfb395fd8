"""The arrays of an orbit.npz, unpacked only once their headers say that they fit into memory.

A few kilobytes of a compressed file may stand for gigabytes, and what is made of them takes several
times more.
"""

import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from threed.dataset import MAX_VIEWS
from threed.dataset_pictures import MAX_WORKING_SIDE
from threed.errors import RequestError

NAMES = ("frames", "normals", "c2w", "fov_y", "kind")
MAX_BYTES = 4 * MAX_VIEWS * MAX_WORKING_SIDE**2
"""Of one array."""

# What a damaged archive may raise; MemoryError where a header lies about its array's size.
DAMAGE = (OSError, ValueError, LookupError, EOFError, RuntimeError, MemoryError, zlib.error)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return those of an orbit video's arrays that are in a file, by their names.

    Raises:
        RequestError: The file is missing, damaged, or holds more than an orbit video may.
    """
    if not path.is_file():
        raise RequestError(f"there is no orbit video at {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in NAMES if f"{name}.npy" in archive.namelist()]
            for name in names:
                _check_header(path, archive, name)
            return {name: _read(archive, name) for name in names}
    except RequestError:
        raise
    except (*DAMAGE, zipfile.BadZipFile) as error:
        raise RequestError(f"{path} is not an orbit video of this program: {error}") from error


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(path: Path, archive: zipfile.ZipFile, name: str) -> None:
    """Refuse an array that is too large by what its own header says."""
    with archive.open(f"{name}.npy") as file:
        # Of the later versions, which numpy never writes for such arrays, even the header may be
        # gigabytes.
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is of another version of numpy's format")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    if name == "frames" and len(shape) == 4:
        count, height, width = shape[:3]
        if count > MAX_VIEWS or max(height, width) > MAX_WORKING_SIDE:
            raise RequestError(
                f"{path} has {count} frames of {width} x {height} pixels; an orbit video may have "
                f"{MAX_VIEWS} of {MAX_WORKING_SIDE} x {MAX_WORKING_SIDE}"
            )
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise RequestError(
            f"{path} is not an orbit video of this program: {name} has {size >> 20} MiB"
        )
