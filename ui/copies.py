"""Copies of results that may be served.

Gradio serves any file of its cache to whoever has its address, so each result is copied there
under a random name, which only those are told who may see the job. Gradio clears away only what it
wrote itself: these files go when nobody was handed them for a day, when what they were made of is
gone, and, where the process was killed, at the next start.
"""

import fcntl
import os
import re
import secrets
import shutil
import threading
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipelines.jobs.records import Job

KEEP_SECONDS = 24 * 3600.0
"""What was handed to nobody for so long is deleted; it is made again for who comes back."""
TIDY_SECONDS = 60.0
OWN_PREFIX = "lathe-served-"


def is_stale(handed_out: float) -> bool:
    """Return whether it is long ago, on the monotonic clock, that something was handed out."""
    return time.monotonic() - handed_out > KEEP_SECONDS


class Shelf:
    """A locked folder of this process's own within the served one, which others may share.

    The system drops the lock of a killed process, so an unlocked one is a remnant. Clearers of
    temporary folders, too, pass by what is locked.
    """

    def __init__(self, served: Path) -> None:
        """Remove what killed processes left; the folder itself is made when it is needed."""
        self.served = served
        self._folder: Path | None = None
        self._release: Callable[[], object] | None = None
        self._tidied = time.monotonic()
        for folder in served.glob(f"{OWN_PREFIX}*"):
            _remove_remnant(folder)

    def put(self, name: str, write: Callable[[Path], object]) -> Path:
        """Return a new file of that name in a random folder, once `write` has written it.

        Raises:
            OSError: It could not be written; nothing of it is left.
        """
        if self._folder is None or not self._folder.exists():
            self._folder = self._locked()
        path = self._folder / secrets.token_urlsafe(16) / name
        try:
            path.parent.mkdir()
            write(path)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return path

    def is_due(self) -> bool:
        """Return whether it is time to look for what may go; then not again for a while."""
        now = time.monotonic()
        due = now - self._tidied >= TIDY_SECONDS
        self._tidied = now if due else self._tidied
        return due

    def close(self) -> None:
        """Delete everything."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        if self._release is not None:
            self._release()

    def _locked(self) -> Path:
        self.close()
        # Under a name that nobody takes for a remnant until the lock is held.
        fresh = self.served / f"new-{secrets.token_hex(8)}"
        fresh.mkdir(parents=True)
        lock = os.open(fresh, os.O_RDONLY)
        self._release = weakref.finalize(self, os.close, lock)
        # Where the disk knows no locks, nobody gets one either, and nothing is ever removed.
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return fresh.rename(self.served / fresh.name.replace("new-", OWN_PREFIX))


def _remove_remnant(folder: Path) -> None:
    # Whatever fails, it is not surely a remnant.
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


@dataclass
class _Copy:
    path: Path
    source: Path
    made: float
    handed_out: float


class Copies:
    """The served copies, one a version of a file; made when asked for, deleted with their job."""

    def __init__(self, served: Path) -> None:
        self._shelf = Shelf(served)
        self._lock = threading.Lock()
        self._copies: dict[tuple[str, str], _Copy] = {}

    def copy(self, job: Job, source: Path) -> Path:
        """Return a servable copy of one of a job's files, the same as long as the file is.

        Raises:
            OSError: It could not be written; nothing of it is left.
        """
        with self._lock:
            made, now = source.stat().st_mtime, time.monotonic()
            copy = self._copies.get((job.id, source.name))
            # Gradio clears its cache of old files, so a copy may have gone; and a job that was run
            # again has other files.
            if copy is None or made != copy.made or not copy.path.exists():
                name = f"{file_stem(job)}{source.suffix}"
                path = self._shelf.put(name, lambda path: shutil.copyfile(source, path))
                if copy is not None:
                    # Whoever was handed it may be about to fetch it.
                    self._copies[job.id, str(copy.path)] = copy
                copy = _Copy(path=path, source=source, made=made, handed_out=now)
                self._copies[job.id, source.name] = copy
            copy.handed_out = now
            return copy.path

    def tidy(self) -> None:
        """Delete what nobody was handed for long, or whose run is gone; cheap to call often."""
        with self._lock:
            if not self._shelf.is_due():
                return
            for key, copy in list(self._copies.items()):
                if is_stale(copy.handed_out) or not copy.source.exists():
                    self._remove(key)

    def forget(self, job_id: str) -> None:
        """Delete the copies of a job."""
        with self._lock:
            for key in [key for key in self._copies if key[0] == job_id]:
                self._remove(key)

    def close(self) -> None:
        """Delete everything."""
        with self._lock:
            self._copies.clear()
            self._shelf.close()

    def _remove(self, key: tuple[str, str]) -> None:
        shutil.rmtree(self._copies.pop(key).path.parent, ignore_errors=True)


def file_stem(job: Job) -> str:
    """Return what a download of a job is called, without a suffix: letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", (job.title or job.request.prompt).lower())
    return f"{words.strip('-')[:40].strip('-') or 'lathe'}-{job.request.seed}"
