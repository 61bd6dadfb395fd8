"""Copies of results that may be served.

Gradio serves any file of its cache to whoever has its address, so each result is copied there
under a random name, which only those are told who may see the job.
"""

import re
import secrets
import shutil
import threading
from pathlib import Path

from pipelines.jobs.records import Job


class Copies:
    """The served copies, one a file of a run; made when asked for, deleted with their job."""

    def __init__(self, served: Path) -> None:
        self.served = served
        self._lock = threading.Lock()
        self._copies: dict[tuple[str, str], tuple[Path, float]] = {}

    def copy(self, job: Job, source: Path) -> Path:
        """Return a servable copy of one of a job's files, the same as long as the file is.

        Raises:
            OSError: It could not be written; nothing of it is left.
        """
        with self._lock:
            made = source.stat().st_mtime
            copy, made_then = self._copies.get((job.id, source.name), (None, 0.0))
            # Gradio clears its cache of old files, so a copy may have gone; and a job that was run
            # again has other files.
            if copy is None or made != made_then or not copy.exists():
                folder = self.served / secrets.token_urlsafe(16)
                copy = folder / f"{file_stem(job)}{source.suffix}"
                try:
                    folder.mkdir(parents=True)
                    shutil.copyfile(source, copy)
                except OSError:
                    shutil.rmtree(folder, ignore_errors=True)
                    raise
                self._copies[job.id, source.name] = copy, made
            return copy

    def forget(self, job_id: str | None = None) -> None:
        """Delete the copies of a job; None is all."""
        with self._lock:
            for key in [key for key in self._copies if job_id in (None, key[0])]:
                copy, _ = self._copies.pop(key)
                shutil.rmtree(copy.parent, ignore_errors=True)


def file_stem(job: Job) -> str:
    """Return what a download of a job is called, without a suffix: letters, digits and dashes."""
    words = re.sub(r"[^a-z0-9]+", "-", (job.title or job.request.prompt).lower())
    return f"{words.strip('-')[:40].strip('-') or 'lathe'}-{job.request.seed}"
