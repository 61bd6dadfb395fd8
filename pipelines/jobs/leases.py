"""What workers tell the store: which jobs they take, how far they are, and that they live.

A worker holds a job by a lease: a token, new with each claim, and a time until which it counts.
Its heartbeat renews the time. Where the time runs out, or the worker is known to be dead, the job
is queued again and goes on from its last whole stage; whatever the old holder may still say with
its old token is not heard. So any number of workers may share one store.
"""

import json
import secrets
import sqlite3
import time
from dataclasses import asdict

from pipelines.jobs.estimate import relative_work
from pipelines.jobs.intake import Intake
from pipelines.jobs.records import Job, KnownThings, Order, State
from pipelines.request import GenerationRequest
from threed.progress import Progress, Stage

LEASE_SECONDS = 20.0
"""A worker that has not been heard of for so long has lost its jobs."""
BEAT_SECONDS = 3.0
LOCAL_WORKER = "local"
NUM_TIMES_KEPT = 500
LOST_MESSAGE = (
    "The worker stopped in the middle of this, more than once, perhaps for lack of memory. "
    "Try fewer frames or a smaller size."
)

# A token of None is for whoever needs no lease: the tests, and a worker that is alone.
HELD = "id = ? AND state = 'running' AND (? IS NULL OR lease = ?)"


class Leases(Intake):
    """Jobs as workers see them."""

    def claim(self, worker: str = LOCAL_WORKER, lease_seconds: float = LEASE_SECONDS) -> Job | None:
        """Take the job that has waited longest, or return None where nothing may be taken.

        A visitor or an address of which enough runs already is passed over.
        """
        now = time.time()
        of_address = self.limits.running_per_address
        with self.writing() as database:
            row = database.execute(
                "UPDATE jobs SET state = 'running', started = ?, attempts = attempts + 1, "
                "worker = ?, lease = ?, lease_until = ? "
                "WHERE number = (SELECT number FROM jobs WHERE state = 'queued' AND "
                "(SELECT count(*) FROM jobs AS other WHERE other.state = 'running' "
                "AND other.session = jobs.session) < ? AND (? = 0 OR "
                "(SELECT count(*) FROM jobs AS other WHERE other.state = 'running' "
                "AND other.caller = jobs.caller) < ?) ORDER BY place LIMIT 1) RETURNING id",
                (
                    *(now, worker, secrets.token_urlsafe(16), now + lease_seconds),
                    *(self.limits.running_per_session, of_address, of_address),
                ),
            ).fetchone()
        return self._jobs("id = ?", row["id"])[0] if row else None

    def beat(self, worker: str = LOCAL_WORKER, lease_seconds: float = LEASE_SECONDS) -> None:
        """Say that a worker lives: it counts as one, and its leases are renewed."""
        now = time.time()
        with self.writing() as database:
            database.execute(
                "INSERT INTO workers VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seen = ?",
                (worker, now, now),
            )
            database.execute("DELETE FROM workers WHERE seen < ?", (now - 10 * lease_seconds,))
            database.execute(
                "UPDATE jobs SET lease_until = ? WHERE worker = ? AND state = 'running'",
                (now + lease_seconds, worker),
            )

    def num_workers(self, seconds: float = LEASE_SECONDS) -> int:
        """Return how many workers were heard of within so many seconds."""
        with self.reading() as database:
            (count,) = database.execute(
                "SELECT count(*) FROM workers WHERE seen > ?", (time.time() - seconds,)
            ).fetchone()
        return count

    def order(self, job_id: str, lease: str | None = None) -> Order | None:
        """Return what the holder of a job is to do, or None: go on."""
        with self.reading() as database:
            row = database.execute(
                f"SELECT cancel_asked, stop_asked FROM jobs WHERE {HELD}", (job_id, lease, lease)
            ).fetchone()
        if row is None:
            return "abandon"
        if row["cancel_asked"] is not None:
            return "cancel"
        return "stop" if row["stop_asked"] is not None else None

    def orders(self) -> dict[str, Order | None]:
        """Return, for the lease of every job that runs, what its holder is to do; None: go on.

        A lease that is not among them is to be abandoned.
        """
        with self.reading() as database:
            rows = database.execute(
                "SELECT lease, CASE WHEN cancel_asked IS NOT NULL THEN 'cancel' "
                "WHEN stop_asked IS NOT NULL THEN 'stop' END FROM jobs WHERE state = 'running'"
            ).fetchall()
        return dict(map(tuple, rows))

    def publish_known(self, job_id: str, known: KnownThings) -> None:
        """Say what the model knows near the prompt."""
        record = json.dumps(asdict(known))
        with self.reading() as database:
            database.execute("UPDATE jobs SET known = ? WHERE id = ?", (record, job_id))

    def publish(
        self, job_id: str, progress: Progress, image: bytes | None, lease: str | None = None
    ) -> None:
        """Say how far a running job is; a stage that ends is timed."""
        now = time.time()
        with self.writing() as database:
            _close_stage(database, job_id, progress.stage, now)
            changed = database.execute(
                "UPDATE jobs SET step = ?, num_steps = ?, message = ?, "
                "stage_started = CASE WHEN stage IS ? THEN stage_started ELSE ? END, stage = ? "
                f"WHERE {HELD}",
                (
                    *(progress.step, progress.num_steps, progress.message),
                    *(progress.stage, now, progress.stage, job_id, lease, lease),
                ),
            )
            if image is not None and changed.rowcount:
                database.execute(
                    "INSERT INTO previews VALUES (?, ?, 1, ?) ON CONFLICT (id, stage) "
                    "DO UPDATE SET version = version + 1, image = excluded.image",
                    (job_id, progress.stage, image),
                )

    def finish(
        self,
        job_id: str,
        state: State,
        message: str = "",
        lease: str | None = None,
        num_bytes: int = 0,
    ) -> None:
        """End a running job; one that has ended already, or is another's now, is left as it is.

        Only now, and only of a job done in one go, do the stages' durations count: a run must not
        be measured by itself while it goes on, and one taken up again skips what was made before.

        Raises:
            sqlite3.Error: It could not be written; where the disk is full there may be room now.
        """
        try:
            self._finish(job_id, state, message, lease, num_bytes)
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", None) != sqlite3.SQLITE_BUSY:
                self.reserve.give()
            raise

    def _finish(
        self, job_id: str, state: State, message: str, lease: str | None, num_bytes: int
    ) -> None:
        now = time.time()
        with self.writing() as database:
            held = database.execute(
                f"SELECT attempts, request FROM jobs WHERE {HELD}", (job_id, lease, lease)
            ).fetchone()
            if held is None:
                return
            if state == "done":
                _close_stage(database, job_id, None, now)
                if held["attempts"] == 1:
                    work = relative_work(GenerationRequest.from_json(held["request"]))
                    database.executemany(
                        "UPDATE stage_times SET job = NULL, seconds = seconds / ? "
                        "WHERE job = ? AND stage = ?",
                        [(cost, job_id, stage) for stage, cost in work.items()],
                    )
            database.execute("DELETE FROM stage_times WHERE job = ?", (job_id,))
            database.execute(
                "UPDATE jobs SET state = ?, finished = ?, message = ?, bytes = ?, worker = NULL, "
                "lease = NULL, lease_until = NULL WHERE id = ?",
                (state, now, message, num_bytes, job_id),
            )

    def stage_seconds(self, num_recent: int = 10) -> dict[Stage, list[float]]:
        """Return how long each stage took in the last runs, as if with the usual settings."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT stage, seconds FROM stage_times WHERE job IS NULL "
                "ORDER BY rowid DESC LIMIT ?",
                (NUM_TIMES_KEPT,),
            ).fetchall()
        seconds: dict[Stage, list[float]] = {}
        for row in rows:
            seconds.setdefault(row["stage"], []).append(row["seconds"])
        return {stage: times[:num_recent] for stage, times in seconds.items()}

    def held(self, worker: str) -> list[Job]:
        """Return the jobs that a worker runs."""
        return self._jobs("state = 'running' AND worker = ?", worker)

    def overdue(self, worker: str, cancel_seconds: float, stop_seconds: float) -> list[Job]:
        """Return a worker's jobs that still run so long after they were asked to end."""
        now = time.time()
        return self._jobs(
            "state = 'running' AND worker = ? AND (cancel_asked < ? OR stop_asked < ?)",
            *(worker, now - cancel_seconds, now - stop_seconds),
        )

    def release(self, worker: str, *, died: bool) -> None:
        """Queue again what a worker held that is no more; its heartbeat is forgotten.

        Args:
            worker: Who it was; who is named `worker/...` was its own, and is no more either.
            died: It did not end of the program's own will, so its jobs may be to blame: one that
                has brought down `num_attempts` workers ends as failed.
        """
        with self.writing() as database:
            self._requeue(database, "instr(worker || '/', ? || '/') = 1", worker, died)
            database.execute("DELETE FROM workers WHERE instr(id || '/', ? || '/') = 1", (worker,))

    def reclaim(self) -> None:
        """Queue again every job whose holder has not been heard of until its lease ran out."""
        with self.writing() as database:
            self._requeue(database, "coalesce(lease_until, 0) < ?", time.time(), True)

    def _requeue(
        self, database: sqlite3.Connection, condition: str, value: str | float, died: bool
    ) -> None:
        """`condition` is one of the literals above; what was asked to end ends as asked."""
        which = f"state = 'running' AND {condition}"
        database.execute(
            f"DELETE FROM stage_times WHERE job IN (SELECT id FROM jobs WHERE {which})", (value,)
        )
        # The time until it is taken up again is no stage's. How much was written nobody says, so it
        # is measured when the job has ended (`Keeping.prune`).
        database.execute(
            "UPDATE jobs SET losses = losses + ?, worker = NULL, lease = NULL, bytes = 0, "
            "lease_until = NULL, finished = ?, message = CASE "
            "WHEN cancel_asked IS NULL AND stop_asked IS NULL AND losses + ? >= ? THEN ? "
            "ELSE '' END, state = CASE WHEN cancel_asked IS NOT NULL THEN 'cancelled' "
            "WHEN stop_asked IS NOT NULL THEN 'stopped' WHEN losses + ? >= ? THEN 'failed' "
            f"ELSE 'lost' END WHERE {which}",
            (
                *(died, time.time(), died, self.limits.num_attempts, LOST_MESSAGE),
                *(died, self.limits.num_attempts, value),
            ),
        )
        database.execute(
            "UPDATE jobs SET state = 'queued', finished = NULL, started = NULL, stage = NULL, "
            "stage_started = NULL, step = 0, num_steps = 0 WHERE state = 'lost'"
        )


def _close_stage(
    database: sqlite3.Connection, job_id: str, next_stage: Stage | None, now: float
) -> None:
    # The video of a job that builds on a finished one takes no time, which says nothing.
    database.execute(
        "INSERT INTO stage_times SELECT stage, ? - stage_started, id FROM jobs "
        "WHERE id = ? AND state = 'running' AND stage IS NOT NULL AND stage IS NOT ? "
        "AND NOT (continued AND stage = 'video')",
        (now, job_id, next_stage),
    )
