"""The front desk: where the page hands jobs in and gets what belongs to its visitor out."""

import atexit
import os
import re
import secrets
import shutil
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

from pipelines.errors import InstallationError
from pipelines.jobs.records import Job
from pipelines.jobs.store import SESSION_PATTERN, JobStore, new_session
from pipelines.jobs.supervisor import Supervisor
from pipelines.models.catalogue import find_card
from pipelines.request import GenerationRequest
from threed.run_folder import RunFolder

DOWNLOADS = {"orbit.mp4": "orbit", "mesh.glb": "mesh"}
"""The files of a run folder that are served, and the stage that makes each."""


def runs_root() -> Path:
    """Return the folder for all runs: LATHE_RUNS, or a fresh one that goes with this process."""
    if named := os.environ.get("LATHE_RUNS"):
        return Path(named)
    root = Path(tempfile.mkdtemp(prefix="lathe-runs-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    return root


class Desk:
    """The store, the worker's supervisor, and the copies of results that may be served.

    Gradio serves any file of its cache to whoever has its address, so each result is copied there
    under a random name, which only its own visitor is told.
    """

    def __init__(self, store: JobStore, supervisor: Supervisor, served: Path) -> None:
        self.store = store
        self.served = served
        self._supervisor = supervisor
        self._started = False
        self._lock = threading.Lock()
        self._copies: dict[tuple[str, str], Path] = {}

    def open(self) -> None:
        """Start the worker, once."""
        with self._lock:
            if not self._started:
                self._started = True
                self._supervisor.start()

    def close(self) -> None:
        """End the worker and delete the served copies."""
        self._supervisor.stop()
        with self._lock:
            for copy in self._copies.values():
                shutil.rmtree(copy.parent, ignore_errors=True)
            self._copies.clear()

    def session(self, remembered: object) -> str:
        """Return the visitor's key: the one that the browser remembers, or a new one."""
        if isinstance(remembered, str) and SESSION_PATTERN.fullmatch(remembered):
            return remembered
        return new_session()

    def submit(self, request: GenerationRequest, session: str) -> str:
        """Queue a request and return its job's id.

        Raises:
            RequestError: The model cannot make this, or too much of this visitor or of all waits
                already.
        """
        # A broken installation is the worker's to tell, which logs it.
        with suppress(InstallationError):
            find_card(request.model).check(request)
        self.open()
        return self.store.submit(request, session)

    def jobs(self, session: object) -> list[Job]:
        """Return a visitor's jobs, the newest first; none for what is no visitor's key."""
        if isinstance(session, str) and SESSION_PATTERN.fullmatch(session):
            return self.store.jobs(session)
        return []

    def cancel(self, job_id: object, session: object) -> None:
        """Cancel a job if it belongs to the visitor."""
        if any(job.id == job_id for job in self.jobs(session)):
            self.store.cancel(str(job_id))

    def wait_until_over(self, job_id: object, session: object, seconds: float) -> None:
        """Return once none of the visitor's jobs of this id is live, at latest after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not any(job.id == job_id and job.is_live for job in self.jobs(session)):
                return
            time.sleep(0.05)

    def results(self, job: Job) -> dict[str, Path]:
        """Return servable copies of a job's finished files, by their names in the run folder."""
        folder = RunFolder(self.store.folder(job))
        return {
            name: self._copy(job, folder.file(name))
            for name, stage in DOWNLOADS.items()
            if folder.done(stage)
        }

    def report_text(self, job: Job) -> str | None:
        """Return a job's report as JSON, or None before there is one."""
        folder = RunFolder(self.store.folder(job))
        return folder.file("report.json").read_text() if folder.done("report") else None

    def _copy(self, job: Job, source: Path) -> Path:
        with self._lock:
            copy = self._copies.get((job.id, source.name))
            # Gradio clears its cache of old files, so a copy may have gone.
            if copy is None or not copy.exists():
                folder = self.served / secrets.token_urlsafe(16)
                folder.mkdir(parents=True)
                copy = folder / f"{_file_stem(job.request)}{source.suffix}"
                shutil.copyfile(source, copy)
                self._copies[job.id, source.name] = copy
            return copy


def _file_stem(request: GenerationRequest) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", request.prompt.lower()).strip("-")[:40].strip("-")
    return f"{words or 'lathe'}-{request.seed}"
