"""What visitors ask of the store: to take jobs in, to say how they stand, and to end them."""

import json
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import RequestError
from pipelines.jobs.database import Database
from pipelines.jobs.records import Job, KnownThings, QueueLimits
from pipelines.request import GenerationRequest
from threed.progress import Stage

SESSION_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
"""What a visitor's key, a job's id, a batch's and a share's token look like."""
HOUR = 3600.0

LIVE = "state IN ('queued', 'running')"


def new_session() -> str:
    """Return a visitor's key that nobody can guess."""
    return secrets.token_urlsafe(16)


class Intake(Database):
    """Jobs as visitors see them. Every call trusts its job id: whose it is, the desk asks first."""

    def __init__(self, root: Path, limits: QueueLimits | None = None) -> None:
        super().__init__(root)
        self.limits = limits or QueueLimits()

    def submit(
        self,
        request: GenerationRequest,
        session: str,
        source: Path | None = None,
        caller: str | None = None,
    ) -> str:
        """Queue a request and return its job's id.

        Args:
            request: What to make.
            session: The visitor's key.
            source: A file that the request works on; it is copied.
            caller: Stands for the address that it came from; None where nobody knows.

        Raises:
            RequestError: Too much waits already, or the session's key has another form.
        """
        return self._take([request], session, None, source, caller)[0]

    def submit_batch(
        self, requests: Sequence[GenerationRequest], session: str, caller: str | None = None
    ) -> list[str]:
        """Queue requests that belong together, all or none, and return their jobs' ids in order.

        Raises:
            RequestError: As `submit`.
        """
        return self._take(requests, session, secrets.token_urlsafe(16), None, caller)

    def _take(
        self,
        requests: Sequence[GenerationRequest],
        session: str,
        batch: str | None,
        source: Path | None,
        caller: str | None,
    ) -> list[str]:
        if not SESSION_PATTERN.fullmatch(session):
            raise RequestError("this session is not known; reload the page and try again")
        ids = [secrets.token_urlsafe(16) for _ in requests]
        folder = self.root / "sessions" / session / ids[0]
        try:
            self._queue(requests, ids, session, batch, source and (source, folder), caller)
        except BaseException:
            # Of a job that is not queued nothing stays, least of all on a disk that is full.
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return ids

    def _queue(
        self,
        requests: Sequence[GenerationRequest],
        ids: list[str],
        session: str,
        batch: str | None,
        copied: tuple[Path, Path] | None,
        caller: str | None,
    ) -> None:
        """Queue the requests, and within the transaction copy the first one's source to a place."""
        now = time.time()
        with self.writing() as database:
            self._admit(database, session, caller, len(requests), now)
            for job_id, request in zip(ids, requests, strict=True):
                database.execute(
                    "INSERT INTO jobs (id, session, request, batch, created, title, words, "
                    "caller, place) SELECT ?, ?, ?, ?, ?, ?, ?, ?, "
                    "coalesce(max(place), 0) + 1 FROM jobs",
                    (
                        *(job_id, session, request.to_json(), batch, now),
                        *(request.prompt, request.prompt.casefold(), caller),
                    ),
                )
            upload = requests[0].upload_name
            if copied is not None and upload is not None:
                # Within the transaction: no job is ever queued without its file.
                source, folder = copied
                folder.mkdir(parents=True)
                size = shutil.copyfile(source, folder / upload).stat().st_size
                # It counts from now on, even if the job never runs.
                database.execute("UPDATE jobs SET bytes = ? WHERE id = ?", (size, ids[0]))

    def _admit(
        self,
        database: sqlite3.Connection,
        session: str,
        caller: str | None,
        count: int,
        now: float | None,
    ) -> None:
        """Raise RequestError where there is no room for so many more; None is no new job's time."""
        limits = self.limits

        def counted(condition: str, *values: str | float | None) -> int:
            """`condition` is one of the literals below."""
            query = f"SELECT count(*) FROM jobs WHERE {condition}"
            return database.execute(query, values).fetchone()[0]

        mine = counted(f"{LIVE} AND session = ?", session)
        if mine + count > limits.per_session:
            more = "" if count == 1 else f" and {count} more are asked for"
            raise RequestError(
                f"{mine} of your jobs wait or run already{more}; {limits.per_session} are "
                "allowed at once; wait for one to finish, or cancel one"
            )
        by_address = limits.per_address > 0 and caller is not None
        if by_address and counted(f"{LIVE} AND caller = ?", caller) + count > limits.per_address:
            raise RequestError(
                f"{limits.per_address} jobs at once are allowed from one network address, and "
                "yours has no more room; try again when some are finished"
            )
        everyone = counted(LIVE)
        if everyone + count > limits.in_all:
            raise RequestError(
                f"{everyone} jobs wait already, which is all there is room for; try again later"
            )
        if now is None:
            return
        recent = counted("session = ? AND created > ?", session, now - HOUR)
        if recent + count > limits.per_hour:
            raise RequestError(
                f"{recent} jobs came from you within the hour and {limits.per_hour} are allowed; "
                "try again later"
            )
        hourly = limits.per_address_hour
        lately = counted("caller = ? AND created > ?", caller, now - HOUR) if by_address else 0
        if 0 < hourly < lately + count:
            raise RequestError(
                f"{lately} jobs came from your network address within the hour and {hourly} are "
                "allowed; try again later"
            )

    def status(self, job_id: str) -> Job:
        """Return a job as it stands.

        Raises:
            KeyError: There is no such job, or it was deleted.
        """
        found = self._jobs("id = ? AND deleted IS NULL", job_id)
        if not found:
            raise KeyError(job_id)
        return found[0]

    def queue(self) -> list[Job]:
        """Return what runs and waits, in the order in which it will be taken up."""
        return self._jobs(LIVE, order="state DESC, place")

    def _jobs(
        self,
        condition: str,
        *values: str | float,
        order: str = "number DESC",
        limit: int = -1,
    ) -> list[Job]:
        """Return matching jobs, the newest first unless ordered otherwise.

        `condition` and `order` are always our own literals; what comes from outside is in `values`.
        """
        with self.reading() as database:
            rows = database.execute(
                "SELECT *, CASE state WHEN 'queued' THEN (SELECT count(*) FROM jobs AS other "
                "WHERE other.state = 'running' OR "
                "(other.state = 'queued' AND other.place < jobs.place)) ELSE 0 END AS num_ahead "
                f"FROM jobs WHERE {condition} ORDER BY {order} LIMIT ?",
                (*values, limit),
            ).fetchall()
            versions = {
                row["id"]: dict(
                    database.execute(
                        "SELECT stage, version FROM previews WHERE id = ?", (row["id"],)
                    ).fetchall()
                )
                for row in rows
            }
            spent = {
                row["id"]: dict(
                    database.execute(
                        "SELECT stage, seconds FROM stage_times WHERE job = ?", (row["id"],)
                    ).fetchall()
                )
                for row in rows
                if row["state"] == "running"
            }
        return [_job(row, versions[row["id"]], spent.get(row["id"], {})) for row in rows]

    def preview(self, job_id: str, stage: Stage) -> bytes | None:
        """Return the latest picture of a stage (JPEG), or None before there is one."""
        with self.reading() as database:
            row = database.execute(
                "SELECT image FROM previews WHERE id = ? AND stage = ?", (job_id, stage)
            ).fetchone()
        return row["image"] if row else None

    def cancel(self, job_id: str) -> None:
        """End a job: at once if it waits, else by a flag that the worker reads."""
        self._ask_to_end(job_id, "cancel_asked", "cancelled")

    def stop(self, job_id: str) -> None:
        """End a job early and keep what it has: its whole stages and its previews."""
        self._ask_to_end(job_id, "stop_asked", "stopped")

    def _ask_to_end(self, job_id: str, flag: str, state: str) -> None:
        now = time.time()
        with self.reading() as database:
            database.execute(
                "UPDATE jobs SET state = CASE state WHEN 'queued' THEN ? ELSE state END, "
                "finished = CASE state WHEN 'queued' THEN ? ELSE finished END, "
                f"{flag} = coalesce({flag}, ?) WHERE id = ? AND {LIVE}",
                (state, now, now, job_id),
            )

    def resume(self, job_id: str, caller: str | None = None) -> None:
        """Queue a job again that failed, was cancelled or was stopped; its whole stages stand.

        Raises:
            RequestError: It is live or done, or there is no room in the queue.
        """
        job = self.status(job_id)
        if job.state not in ("failed", "cancelled", "stopped"):
            raise RequestError(f"this job is {job.state}; there is nothing to resume")
        self._queue_again(job, job.request, caller, continued=job.continued, attempts=None)

    def build(self, job_id: str, request: GenerationRequest, caller: str | None = None) -> None:
        """Queue a job with a finished video again, now as a request that goes on to the mesh.

        Raises:
            RequestError: It is live, or there is no room in the queue.
        """
        job = self.status(job_id)
        if job.is_live:
            raise RequestError(f"this job is {job.state}; wait until its video is finished")
        self._queue_again(job, request, caller, continued=True, attempts=0)

    def _queue_again(
        self,
        job: Job,
        request: GenerationRequest,
        caller: str | None,
        *,
        continued: bool,
        attempts: int | None,
    ) -> None:
        with self.writing() as database:
            self._admit(database, job.session, caller, 1, None)
            changed = database.execute(
                "UPDATE jobs SET state = 'queued', request = ?, continued = ?, losses = 0, "
                "attempts = coalesce(?, attempts), caller = ?, "
                "place = (SELECT max(place) + 1 FROM jobs), "
                "started = NULL, finished = NULL, stage = NULL, stage_started = NULL, step = 0, "
                "num_steps = 0, message = '', cancel_asked = NULL, stop_asked = NULL "
                "WHERE id = ? AND state = ?",
                (request.to_json(), continued, attempts, caller, job.id, job.state),
            )
            if changed.rowcount == 0:
                raise RequestError("this job has just changed; look again")

    def folder(self, job: Job) -> Path:
        """Return where a job's results lie: a random folder within its session's own."""
        return self.root / "sessions" / job.session / job.id


def _job(row: sqlite3.Row, previews: dict[Stage, int], spent: dict[Stage, float]) -> Job:
    known = json.loads(row["known"]) if row["known"] else None
    request = GenerationRequest.from_json(row["request"])
    running = row["state"] == "running"
    return Job(
        id=row["id"],
        session=row["session"],
        request=request,
        state=row["state"],
        num_ahead=row["num_ahead"],
        started=row["started"],
        finished=row["finished"],
        stage=row["stage"],
        stage_started=row["stage_started"],
        step=row["step"],
        num_steps=row["num_steps"],
        message=row["message"],
        cancelling=running and row["cancel_asked"] is not None,
        stopping=running and row["stop_asked"] is not None,
        known=known and KnownThings(**{**known, "names": tuple(known["names"])}),
        previews=previews,
        title=row["title"] or request.prompt,
        batch=row["batch"],
        share=row["share"],
        created=row["created"],
        continued=bool(row["continued"]),
        spent=spent,
        worker=row["worker"],
        lease=row["lease"],
    )
