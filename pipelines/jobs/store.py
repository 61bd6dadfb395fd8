"""The jobs' store: one SQLite file and one folder a job, shared by the page and the worker.

The page submits, asks and cancels; the worker claims, publishes and finishes. Each call opens its
own connection, so that any thread of either process may call at any time. Every name in it is
random: a job is reached only through its session, and a session only by who holds its key.
"""

import json
import re
import secrets
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import RequestError
from pipelines.jobs.records import Job, KnownThings, QueueLimits, State
from pipelines.request import GenerationRequest
from threed.progress import Progress, Stage

SESSION_PATTERN = re.compile(r"[A-Za-z0-9_-]{22}")
NUM_TIMES_KEPT = 500

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    attempts INTEGER NOT NULL DEFAULT 0,
    started REAL,
    finished REAL,
    stage TEXT,
    stage_started REAL,
    step INTEGER NOT NULL DEFAULT 0,
    num_steps INTEGER NOT NULL DEFAULT 0,
    message TEXT NOT NULL DEFAULT '',
    cancel_asked REAL,
    known TEXT
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state);
CREATE INDEX IF NOT EXISTS jobs_by_session ON jobs (session);
CREATE TABLE IF NOT EXISTS previews (
    id TEXT NOT NULL, stage TEXT NOT NULL, version INTEGER NOT NULL, image BLOB NOT NULL,
    PRIMARY KEY (id, stage)
);
CREATE TABLE IF NOT EXISTS stage_times (
    stage TEXT NOT NULL, seconds REAL NOT NULL,
    job TEXT  -- the job while it runs; null once it is done and its durations count
);
"""


def new_session() -> str:
    """Return a visitor's key that nobody can guess."""
    return secrets.token_urlsafe(16)


class JobStore:
    """Jobs, their progress and their folders under one root."""

    def __init__(self, root: Path, limits: QueueLimits | None = None) -> None:
        self.root = root
        self.limits = limits or QueueLimits()
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._database() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.executescript(SCHEMA)

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self.root / "jobs.sqlite", timeout=10.0, isolation_level=None)
        database.row_factory = sqlite3.Row
        try:
            # The journal outlives a killed process; only a power cut may lose the last moments.
            database.execute("PRAGMA synchronous = NORMAL")
            yield database
        finally:
            database.close()

    # What the page asks.

    def submit(self, request: GenerationRequest, session: str) -> str:
        """Queue a request and return its job's id.

        Raises:
            RequestError: Too much waits already, or the session's key has another form.
        """
        if not SESSION_PATTERN.fullmatch(session):
            raise RequestError("this session is not known; reload the page and try again")
        job_id = secrets.token_urlsafe(16)
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            live = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')"
            mine = database.execute(live + " AND session = ?", (session,)).fetchone()[0]
            everyone = database.execute(live).fetchone()[0]
            if mine >= self.limits.per_session or everyone >= self.limits.in_all:
                database.execute("ROLLBACK")
                raise RequestError(self._refusal(mine, everyone))
            database.execute(
                "INSERT INTO jobs (id, session, request) VALUES (?, ?, ?)",
                (job_id, session, request.to_json()),
            )
            database.execute("COMMIT")
        return job_id

    def _refusal(self, mine: int, everyone: int) -> str:
        if mine >= self.limits.per_session:
            return (
                f"{mine} of your jobs wait or run already and {self.limits.per_session} are "
                "allowed at once; wait for one to finish, or cancel one"
            )
        return f"{everyone} jobs wait already, which is all there is room for; try again later"

    def status(self, job_id: str) -> Job:
        """Return a job as it stands.

        Raises:
            KeyError: There is no such job.
        """
        found = self._jobs("id = ?", job_id)
        if not found:
            raise KeyError(job_id)
        return found[0]

    def jobs(self, session: str) -> list[Job]:
        """Return a session's jobs, the newest first."""
        return self._jobs("session = ?", session)

    def running(self) -> list[Job]:
        """Return the jobs that a worker holds."""
        return self._jobs("state = ?", "running")

    def overdue(self, seconds: float) -> list[Job]:
        """Return the jobs that still run so long after their cancelling was asked for."""
        return self._jobs("state = 'running' AND cancel_asked < ?", time.time() - seconds)

    def _jobs(self, condition: str, value: str | float) -> list[Job]:
        """`condition` is always one of this file's literals; what comes from outside is `value`."""
        with self._database() as database:
            rows = database.execute(
                "SELECT *, (SELECT count(*) FROM jobs AS other WHERE jobs.state = 'queued' AND "
                "other.state IN ('queued', 'running') AND other.number < jobs.number) AS num_ahead "
                f"FROM jobs WHERE {condition} ORDER BY number DESC",
                (value,),
            ).fetchall()
            versions = {
                row["id"]: dict(
                    database.execute(
                        "SELECT stage, version FROM previews WHERE id = ?", (row["id"],)
                    ).fetchall()
                )
                for row in rows
            }
        return [_job(row, versions[row["id"]]) for row in rows]

    def preview(self, job_id: str, stage: Stage) -> bytes | None:
        """Return the latest picture of a stage (JPEG), or None before there is one."""
        with self._database() as database:
            row = database.execute(
                "SELECT image FROM previews WHERE id = ? AND stage = ?", (job_id, stage)
            ).fetchone()
        return row["image"] if row else None

    def cancel(self, job_id: str) -> None:
        """Stop a job: at once if it waits, else by a flag that the worker reads."""
        now = time.time()
        with self._database() as database:
            database.execute(
                "UPDATE jobs SET state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END, "
                "finished = CASE state WHEN 'queued' THEN ? ELSE finished END, "
                "cancel_asked = coalesce(cancel_asked, ?) "
                "WHERE id = ? AND state IN ('queued', 'running')",
                (now, now, job_id),
            )

    def folder(self, job: Job) -> Path:
        """Return where a job's results lie: a random folder within its session's own."""
        return self.root / "sessions" / job.session / job.id

    def stage_seconds(self, num_recent: int = 10) -> dict[Stage, list[float]]:
        """Return how long each stage took in the last runs that are done."""
        with self._database() as database:
            rows = database.execute(
                "SELECT stage, seconds FROM stage_times WHERE job IS NULL "
                "ORDER BY rowid DESC LIMIT ?",
                (NUM_TIMES_KEPT,),
            ).fetchall()
        seconds: dict[Stage, list[float]] = {}
        for row in rows:
            seconds.setdefault(row["stage"], []).append(row["seconds"])
        return {stage: times[:num_recent] for stage, times in seconds.items()}

    # What the worker tells.

    def claim(self) -> Job | None:
        """Take the oldest waiting job, or return None where nothing waits."""
        with self._database() as database:
            row = database.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1 "
                "WHERE number = (SELECT min(number) FROM jobs WHERE state = 'queued') "
                "RETURNING id",
                (time.time(),),
            ).fetchone()
        return self.status(row["id"]) if row else None

    def cancel_asked(self, job_id: str) -> bool:
        """Return whether a running job is to stop."""
        with self._database() as database:
            row = database.execute(
                "SELECT cancel_asked IS NOT NULL FROM jobs WHERE id = ?", (job_id,)
            ).fetchone()
        return bool(row[0])

    def publish_known(self, job_id: str, known: KnownThings) -> None:
        """Say what the model knows near the prompt."""
        record = json.dumps({"familiar": known.familiar, "names": known.names})
        with self._database() as database:
            database.execute("UPDATE jobs SET known = ? WHERE id = ?", (record, job_id))

    def publish(self, job_id: str, progress: Progress, image: bytes | None) -> None:
        """Say how far a running job is; a stage that ends is timed."""
        now = time.time()
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            self._close_stage(database, job_id, progress.stage, now)
            database.execute(
                "UPDATE jobs SET step = ?, num_steps = ?, message = ?, "
                "stage_started = CASE WHEN stage IS ? THEN stage_started ELSE ? END, stage = ? "
                "WHERE id = ? AND state = 'running'",
                (
                    *(progress.step, progress.num_steps, progress.message),
                    *(progress.stage, now, progress.stage, job_id),
                ),
            )
            if image is not None:
                database.execute(
                    "INSERT INTO previews VALUES (?, ?, 1, ?) ON CONFLICT (id, stage) "
                    "DO UPDATE SET version = version + 1, image = excluded.image",
                    (job_id, progress.stage, image),
                )
            database.execute("COMMIT")

    def _close_stage(
        self, database: sqlite3.Connection, job_id: str, next_stage: Stage | None, now: float
    ) -> None:
        database.execute(
            "INSERT INTO stage_times SELECT stage, ? - stage_started, id FROM jobs "
            "WHERE id = ? AND state = 'running' AND stage IS NOT NULL AND stage IS NOT ?",
            (now, job_id, next_stage),
        )

    def finish(self, job_id: str, state: State, message: str = "") -> None:
        """End a running job; one that has ended already is left as it is.

        Only now, and only of a job done in one go, do the stages' durations count: a run must not
        be measured by itself while it goes on, and one taken up again skips what was made before.
        """
        now = time.time()
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            if state == "done":
                self._close_stage(database, job_id, None, now)
                database.execute(
                    "UPDATE stage_times SET job = NULL WHERE job = "
                    "(SELECT id FROM jobs WHERE id = ? AND state = 'running' AND attempts = 1)",
                    (job_id,),
                )
            database.execute("DELETE FROM stage_times WHERE job = ?", (job_id,))
            database.execute(
                "UPDATE jobs SET state = ?, finished = ?, message = ? "
                "WHERE id = ? AND state = 'running'",
                (state, now, message, job_id),
            )
            database.execute("COMMIT")

    # Housekeeping.

    def recover(self) -> None:
        """Queue again what ran when the program was last stopped; call it before any worker starts.

        A run goes on from its last whole stage. One that has been started as often as is allowed
        ends as failed, so that a job which brings the machine down does not do so for ever.
        """
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            database.execute(
                "UPDATE jobs SET finished = ?, message = 'The program was stopped while this ran.',"
                "state = CASE WHEN cancel_asked IS NULL THEN 'failed' ELSE 'cancelled' END "
                "WHERE state = 'running' AND (attempts >= ? OR cancel_asked IS NOT NULL)",
                (time.time(), self.limits.num_attempts),
            )
            # The time until it is taken up again is no stage's.
            database.execute(
                "UPDATE jobs SET state = 'queued', stage = NULL, stage_started = NULL, step = 0, "
                "num_steps = 0, message = '' WHERE state = 'running'"
            )
            database.execute("DELETE FROM stage_times WHERE job IS NOT NULL")
            database.execute("COMMIT")

    def prune(self, seconds: float) -> None:
        """Forget jobs that ended longer ago than this, and delete their folders."""
        for job in self._jobs("finished < ?", time.time() - seconds):
            shutil.rmtree(self.folder(job), ignore_errors=True)
            with self._database() as database:
                database.execute("DELETE FROM previews WHERE id = ?", (job.id,))
                database.execute("DELETE FROM jobs WHERE id = ?", (job.id,))
        with self._database() as database:
            database.execute(
                "DELETE FROM stage_times WHERE rowid <= (SELECT max(rowid) FROM stage_times) - ?",
                (NUM_TIMES_KEPT,),
            )


def _job(row: sqlite3.Row, previews: dict[Stage, int]) -> Job:
    known = json.loads(row["known"]) if row["known"] else None
    return Job(
        id=row["id"],
        session=row["session"],
        request=GenerationRequest.from_json(row["request"]),
        state=row["state"],
        num_ahead=row["num_ahead"],
        started=row["started"],
        finished=row["finished"],
        stage=row["stage"],
        stage_started=row["stage_started"],
        step=row["step"],
        num_steps=row["num_steps"],
        message=row["message"],
        cancelling=row["state"] == "running" and row["cancel_asked"] is not None,
        known=known and KnownThings(familiar=known["familiar"], names=tuple(known["names"])),
        previews=previews,
    )
