"""Servable files of a finished run in every format, made in a thread when somebody first looks.

Gradio serves any file of its cache to whoever has its address, so each file lies there under a
random name, which only those are told who may see the job.
"""

import logging
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from threed.errors import RequestError
from threed.export_formats import FORMATS, Format, find_format, why_not
from threed.run_folder import RunFolder
from ui.copies import Shelf, is_stale

logger = logging.getLogger(__name__)


@dataclass
class _Made:
    """What there is of one job; `stages` tells one state of a run folder from a later one."""

    stages: tuple[str, ...]
    folder: Path
    handed_out: float = 0.0
    files: dict[str, Path] = field(default_factory=dict)
    pending: bool = True


class Exports:
    """Every job's files in other formats."""

    def __init__(self, served: Path) -> None:
        self._shelf = Shelf(served)
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
                made = self._made[job_id] = _Made(stages=stages, folder=folder)
                wanted = [known for known in FORMATS if why_not(run, known) is None]
                self._thread.submit(self._make, job_id, made, wanted, stem)
            made.handed_out = time.monotonic()
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

    def tidy(self) -> None:
        """Delete what nobody was handed for long, or whose run is gone; cheap to call often."""
        with self._lock:
            if not self._shelf.is_due():
                return
            for job_id, made in list(self._made.items()):
                if is_stale(made.handed_out) or not made.folder.exists():
                    _remove(self._made.pop(job_id))

    def forget(self, job_id: str) -> None:
        """Delete the files of a job; what is being made of it is not gone on with."""
        with self._lock:
            if job_id in self._made:
                _remove(self._made.pop(job_id))

    def close(self) -> None:
        """Make no more and delete everything."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            # So that what is being made stops after the format that it is at.
            self._made.clear()
        self._thread.shutdown(wait=True)
        self._shelf.close()

    def _make(self, job_id: str, made: _Made, wanted: list[Format], stem: str) -> None:
        try:
            for known in wanted:
                if self._made.get(job_id) is not made:
                    # The job was forgotten meanwhile, or another round has begun.
                    return
                path = self._file(known, made.folder, stem)
                if path is None:
                    continue
                # Nobody is to be counting them now, nor to forget the job.
                with self._lock:
                    if self._made.get(job_id) is made:
                        made.files[known.name] = path
                    else:
                        shutil.rmtree(path.parent, ignore_errors=True)
        finally:
            made.pending = False

    def _file(self, known: Format, folder: Path, stem: str) -> Path | None:
        try:
            data = known.make(folder)
            return self._shelf.put(f"{stem}{known.suffix}", lambda path: path.write_bytes(data))
        except FileNotFoundError:
            # Runs of earlier versions have no picture of their report.
            return None
        except (OSError, RequestError, ValueError):
            # The job may have been deleted meanwhile; the other formats are not to suffer.
            logger.exception("no %s could be made", known.name)
            return None


def _remove(made: _Made) -> None:
    for path in list(made.files.values()):
        shutil.rmtree(path.parent, ignore_errors=True)
