"""The front desk: where the page hands jobs in and gets what belongs to its visitor out.

Every call that names a job also names its visitor's key, and reaches no job of anybody else; a
share's token reaches one job, to look at it. What comes from a browser may be anything, so keys,
ids and tokens are `object` here.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

from pipelines.errors import InstallationError, RequestError
from pipelines.jobs.estimate import seconds_until_start
from pipelines.jobs.executor import Executor
from pipelines.jobs.memory import check_memory
from pipelines.jobs.records import Job, Standing
from pipelines.jobs.store import SESSION_PATTERN, JobStore, new_session
from pipelines.jobs.supervisor import PROJECT_ROOT
from pipelines.models.catalogue import check_request
from pipelines.request import GenerationRequest
from threed.memory import machine_bytes
from threed.run_folder import RunFolder, shown_orbit
from ui.building import check_build, undecided
from ui.callers import calling
from ui.copies import Copies, file_stem
from ui.exports import Exports
from ui.moderation import Moderate, allow_all, check_words
from ui.trouble import in_words

DOWNLOADS = {"orbit.mp4": "orbit", "mesh.glb": "mesh"}
"""The files of a run folder that are served, and the stage that makes each."""
TOUCH_SECONDS = 60.0
NOT_YOURS = "there is no such job of yours"

logger = logging.getLogger(__name__)


def runs_root() -> Path:
    """Return the folder for all runs: LATHE_RUNS, else `runs` beside the program."""
    return Path(os.environ.get("LATHE_RUNS") or PROJECT_ROOT / "runs")


class Desk:
    """The store, the executor that runs its jobs, and the copies of results that may be served."""

    def __init__(
        self,
        store: JobStore,
        executor: Executor,
        served: Path,
        moderate: Moderate = allow_all,
    ) -> None:
        self.store = store
        self.moderate = moderate
        self.memory_bytes = machine_bytes()
        self.executor = executor
        self.served = served
        self.exports = Exports(served)
        self._copies = Copies(served)
        self._started = False
        self._lock = threading.Lock()
        self._touched: dict[str, float] = {}

    def open(self) -> None:
        """Start the worker, once."""
        with self._lock:
            if not self._started:
                self._started = True
                self.executor.start()

    def close(self) -> None:
        """End the worker and delete the served copies."""
        self.executor.stop()
        self._copies.close()
        self.exports.close()

    def session(self, remembered: object) -> str:
        """Return the visitor's key: the one that the browser remembers, or a new one."""
        return remembered if is_key(remembered) else new_session()

    # Handing in.

    def submit(self, request: GenerationRequest, session: str, source: Path | None = None) -> str:
        """Queue a request and return its job's id; `source` is an upload that was checked.

        Raises:
            RequestError: The model cannot make this, or too much of this visitor or of all waits
                already.
        """
        self._check(request)
        with in_words():
            job_id = self.store.submit(request, session, source, calling())
        self.executor.submitted(job_id)
        return job_id

    def submit_batch(self, requests: Sequence[GenerationRequest], session: str) -> list[str]:
        """Queue requests that belong together, all or none; return their jobs' ids in order.

        Their jobs share a `batch`.

        Raises:
            RequestError: As `submit`.
        """
        for request in requests:
            self._check(request)
        with in_words():
            ids = self.store.submit_batch(requests, session, calling())
        for job_id in ids:
            self.executor.submitted(job_id)
        return ids

    def _check(self, request: GenerationRequest) -> None:
        check_words(request.prompt, self.moderate)
        check_memory(request, self.memory_bytes)
        # A broken installation is the worker's to tell, which logs it.
        with suppress(InstallationError):
            # A clip of the visitor's own asks nothing of a model.
            if request.clip is None:
                check_request(request)
        self.open()

    def retry(self, job_id: object, session: object, seed: int | None = None) -> str:
        """Hand a job's request in again as a new job, with another seed if told; return its id."""
        job = self.job(job_id, session)
        request = job.request if seed is None else replace(job.request, seed=seed)
        upload = request.upload_name
        source = None if upload is None else self.store.folder(job) / upload
        if source is not None and not source.is_file():
            raise RequestError("what this was made of is gone; hand it in again")
        return self.submit(request, job.session, source)

    def resume(self, job_id: object, session: object) -> None:
        """Go on with a job that failed, was cancelled or was stopped; the same id, the same folder.

        Raises:
            RequestError: It is live or done, or the queue is full.
        """
        job = self.job(job_id, session)
        with in_words():
            self.store.resume(job.id, calling())
        self.executor.submitted(job.id)

    def build(self, job_id: object, session: object, **changes: Any) -> None:
        """Go on from a job's finished video to the mesh; the same id, the same folder.

        Args:
            job_id: A job that has a video and is not live.
            session: The visitor's key.
            changes: Settings of the 3D stage that differ from the job's request
                (`ui.building.MESH_SETTINGS`); those of a stage that is done are not heeded.

        Raises:
            RequestError: `check_build` refuses it, this machine has too little memory for it, or
                the queue is full.
        """
        job = self.job(job_id, session)
        folder = RunFolder(self.store.folder(job))
        check_build(folder, changes)
        with in_words():
            request = replace(job.request, video_only=False, **undecided(folder, changes))
            check_memory(request, self.memory_bytes)
            self.store.build(job.id, request, calling())
        self.executor.submitted(job.id)

    # Looking.

    def jobs(
        self,
        session: object,
        search: str = "",
        limit: int = -1,
        batch: str | None = None,
    ) -> list[Job]:
        """Return a visitor's jobs, the newest first; none for what is no visitor's key.

        `search` keeps those whose title or prompt has all its words, `batch` those of one batch.
        """
        if not is_key(session):
            return []
        with in_words():
            return self.store.jobs(session, search, limit, batch)

    def job(self, job_id: object, session: object) -> Job:
        """Return one of a visitor's jobs.

        Raises:
            RequestError: The visitor has no such job; the same words whether or not another has.
        """
        if not is_key(job_id) or not is_key(session):
            raise RequestError(NOT_YOURS)
        with in_words():
            try:
                job = self.store.status(job_id)
            except KeyError:
                raise RequestError(NOT_YOURS) from None
        if job.session != session:
            raise RequestError(NOT_YOURS)
        return job

    def shared(self, token: object) -> Job | None:
        """Return the job that a share's token shows, or None."""
        with in_words():
            return self.store.shared(token) if isinstance(token, str) else None

    def standing(self, job: Job | None = None) -> Standing:
        """Return how long the queue is, and the wait of a job, or of one that came now."""
        with in_words():
            queue = self.store.queue()
            measured, num_workers = self.store.stage_seconds(), self.store.num_workers()
        ids = [other.id for other in queue]
        ahead = queue[: ids.index(job.id)] if job and job.id in ids else queue
        num_running = sum(other.state == "running" for other in queue)
        waits = job is None or job.state == "queued"
        wait = seconds_until_start(ahead, measured, time.time(), num_workers) if waits else 0.0
        return Standing(
            num_waiting=len(queue) - num_running,
            num_running=num_running,
            num_workers=num_workers,
            wait_seconds=wait,
        )

    def touch(self, job: Job) -> None:
        """Say that somebody looks at a job, so that it is not forgotten; cheap to call often."""
        self._copies.tidy()
        self.exports.tidy()
        now = time.monotonic()
        if now - self._touched.get(job.id, -TOUCH_SECONDS) >= TOUCH_SECONDS:
            self._touched[job.id] = now
            # Where it cannot be written now, the next look does it.
            with suppress(sqlite3.Error):
                self.store.touch(job.id)

    # Changing.

    def cancel(self, job_id: object, session: object) -> None:
        """Cancel a job.

        Raises:
            RequestError: It is not the visitor's.
        """
        job = self.job(job_id, session)
        with in_words():
            self.store.cancel(job.id)

    def stop(self, job_id: object, session: object) -> None:
        """End a job early; what it has stays, the video as far as it was drawn too.

        Raises:
            RequestError: It is not the visitor's.
        """
        job = self.job(job_id, session)
        with in_words():
            self.store.stop(job.id)

    def rename(self, job_id: object, session: object, title: str) -> None:
        """Give a job another title; an empty one gives it its prompt back.

        Raises:
            RequestError: It is not the visitor's, or the title cannot be used.
        """
        job = self.job(job_id, session)
        check_words(title, self.moderate)
        with in_words():
            self.store.rename(job.id, title)

    def delete(self, job_id: object, session: object) -> None:
        """Delete a job with all its files; a live one is cancelled first.

        Raises:
            RequestError: It is not the visitor's.
        """
        job = self.job(job_id, session)
        with in_words():
            self.store.delete(job.id)
        self._copies.forget(job.id)
        self.exports.forget(job.id)

    def share(self, job_id: object, session: object) -> str:
        """Return the token by which anybody may look at a visitor's job, until `unshare`."""
        job = self.job(job_id, session)
        with in_words():
            return self.store.share(job.id)

    def unshare(self, job_id: object, session: object) -> None:
        """Withdraw a job's token, and the served copies that were handed out by it."""
        job = self.job(job_id, session)
        with in_words():
            self.store.unshare(job.id)
        self._copies.forget(job.id)
        self.exports.forget(job.id)

    def wait_until_over(self, job_id: object, session: object, seconds: float) -> None:
        """Return once none of the visitor's jobs of this id is live, at latest after `seconds`."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if not self.job(job_id, session).is_live:
                    return
            except RequestError:
                return
            time.sleep(0.05)

    # Results.

    def results(self, job: Job) -> dict[str, Path]:
        """Return servable copies of a job's finished files, by their names in the run folder.

        One for which there is no room at the moment is absent; the next look tries again.
        """
        self.touch(job)
        folder = RunFolder(self.store.folder(job))
        copies = {}
        for name, stage in DOWNLOADS.items():
            if folder.done(stage):
                place = shown_orbit(folder.path) if stage == "orbit" else folder.path
                try:
                    copies[name] = self._copies.copy(job, place / name)
                except OSError as error:
                    logger.warning("a result could not be served: %s", error.strerror)
        return copies

    def export(self, job_id: object, session: object, name: object) -> str | None:
        """Return where a servable file of a visitor's job in a format lies, None until it is made.

        Raises:
            RequestError: It is not the visitor's, or there can be no such file of it.
        """
        job = self.job(job_id, session)
        if job.is_live:
            raise RequestError(f"this job is {job.state}; wait until it is finished")
        self.touch(job)
        path = self.exports.file(job.id, self.store.folder(job), file_stem(job), name)
        return None if path is None else str(path)

    def report_text(self, job: Job) -> str | None:
        """Return a job's report as JSON, or None before there is one."""
        folder = RunFolder(self.store.folder(job))
        return folder.file("report.json").read_text() if folder.done("report") else None


def is_key(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(SESSION_PATTERN.fullmatch(value))
