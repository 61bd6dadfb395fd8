"""Servable files of a finished run in every format, made in a thread when somebody first looks.

Gradio serves any file of its cache to whoever has its address, so each file lies there under a
random name, which only those are told who may see the job.
"""

import logging
import secrets
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from threed.errors import RequestError
from threed.export_formats import FORMATS, Format, find_format, why_not
from threed.run_folder import RunFolder

logger = logging.getLogger(__name__)


@dataclass
class _Made:
    """What there is of one job; `stages` tells one state of a run folder from a later one."""

    stages: tuple[str, ...]
    files: dict[str, Path] = field(default_factory=dict)
    pending: bool = True


class Exports:
    """Every job's files in other formats."""

    def __init__(self, served: Path) -> None:
        self.served = served
        self._lock = threading.Lock()
        self._made: dict[str, _Made] = {}
        # One at a time: the worker needs the cores more.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="exports")

    def files(self, job_id: str, folder: Path, stem: str) -> tuple[dict[str, Path], bool]:
        """Return the formats that are made so far, by name, and whether more are coming.

        Args:
            job_id: Whose they are.
            folder: The job's run folder.
            stem: What the files are called, without a suffix.
        """
        run = RunFolder(folder)
        stages = tuple(stage for stage in ("orbit", "mesh", "report") if run.done(stage))
        with self._lock:
            made = self._made.get(job_id)
            # Gradio clears its cache of old files.
            gone = made and not all(path.exists() for path in made.files.values())
            if made is None or made.stages != stages or gone:
                if made is not None:
                    _remove(made)
                made = self._made[job_id] = _Made(stages=stages)
                wanted = [known for known in FORMATS if why_not(run, known) is None]
                self._thread.submit(self._make, made, wanted, folder, stem)
            return dict(made.files), made.pending

    def file(self, job_id: str, folder: Path, stem: str, name: object) -> Path | None:
        """Return one format's file, None until it is made.

        Raises:
            RequestError: The run has nothing that it could be made of, or making it failed.
        """
        run = RunFolder(folder)
        known = [known.name for known in FORMATS if why_not(run, known) is None]
        if name not in known:
            there = f"there is {', '.join(known)}" if known else "there is nothing of it yet"
            asked = find_format(str(name))
            reason = f": {why_not(run, asked)}" if asked and known else ""
            raise RequestError(f"there is no {name!r} of this job{reason}; {there}")
        files, pending = self.files(job_id, folder, stem)
        if name not in files and not pending:
            raise RequestError(f"no {name} could be made of this job, which has been logged")
        return files.get(str(name))

    def forget(self, job_id: str | None = None) -> None:
        """Delete the files of a job; None is all."""
        with self._lock:
            for key in [key for key in self._made if job_id in (None, key)]:
                _remove(self._made.pop(key))

    def close(self) -> None:
        """Make no more and delete everything."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self.forget()

    def _make(self, made: _Made, wanted: list[Format], folder: Path, stem: str) -> None:
        try:
            for known in wanted:
                path = self.served / secrets.token_urlsafe(16) / f"{stem}{known.suffix}"
                try:
                    data = known.make(folder)
                    path.parent.mkdir(parents=True)
                    path.write_bytes(data)
                except FileNotFoundError:
                    # Runs of earlier versions have no picture of their report.
                    continue
                except (OSError, RequestError, ValueError):
                    # The job may have been deleted meanwhile; the other formats are not to suffer.
                    logger.exception("no %s could be made", known.name)
                    continue
                # Nobody is to be counting them now.
                with self._lock:
                    made.files[known.name] = path
        finally:
            made.pending = False


def _remove(made: _Made) -> None:
    for path in list(made.files.values()):
        shutil.rmtree(path.parent, ignore_errors=True)
