"""A few megabytes that are kept back on the disk of the store.

Where the disk is full, how a job ended could not be written, and its visitor would see it run for
ever. So what is kept back is given up then, and taken again when there is room.
"""

import os
import shutil
from contextlib import suppress
from pathlib import Path

FILE_NAME = "reserve"
NUM_BYTES = 4 << 20
ROOM_BYTES = 64 << 20
"""With less on the disk nothing is taken from it."""


class Reserve:
    """The file that holds the place."""

    def __init__(self, root: Path) -> None:
        self.path = root / FILE_NAME

    def keep(self) -> None:
        """Keep the place, where it is not kept already and there is room for it."""
        with suppress(OSError):
            if self.path.exists() or shutil.disk_usage(self.path.parent).free < ROOM_BYTES:
                return
            with self.path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, NUM_BYTES)

    def give(self) -> None:
        """Give the place up to whoever writes next."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
