"""What is kept: a visitor's gallery, what is shared of it, and what is forgotten and when."""

import os
import secrets
import shutil
import time
import unicodedata
from contextlib import suppress
from pathlib import Path

from pipelines.errors import RequestError
from pipelines.jobs.intake import HOUR, LIVE, SESSION_PATTERN
from pipelines.jobs.leases import NUM_TIMES_KEPT, Leases
from pipelines.jobs.records import Census, Job

FORGOTTEN = '{"prompt": "-"}'
MAX_TITLE_CHARACTERS = 120
LOOKED_SECONDS = 600.0
"""What somebody has looked at so lately is not removed, however full the disk is."""


class Keeping(Leases):
    """Jobs as a collection."""

    def jobs(
        self, session: str, search: str = "", limit: int = -1, batch: str | None = None
    ) -> list[Job]:
        """Return a session's jobs, the newest first.

        Args:
            session: The visitor's key.
            search: Words that title or prompt must have, all of them, in any order and case.
            limit: At most so many; -1 is all.
            batch: Only those that were handed in together as this batch.
        """
        words = search.casefold().split()
        condition = "session = ? AND deleted IS NULL" + " AND instr(words, ?) > 0" * len(words)
        values = [session, *words]
        if batch is not None:
            condition, values = condition + " AND batch = ?", [*values, batch]
        return self._jobs(condition, *values, limit=limit)

    def rename(self, job_id: str, title: str) -> None:
        """Give a job another title; an empty one gives it its prompt back.

        Raises:
            RequestError: The title is too long or has characters that do not print.
        """
        title = " ".join(title.split())
        if len(title) > MAX_TITLE_CHARACTERS:
            raise RequestError(
                f"the title has {len(title)} characters; at most {MAX_TITLE_CHARACTERS} are allowed"
            )
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in title):
            raise RequestError("the title has characters that do not print")
        prompt = self.status(job_id).request.prompt
        title = title or prompt
        with self.reading() as database:
            database.execute(
                "UPDATE jobs SET title = ?, words = ? WHERE id = ?",
                (title, f"{title} {prompt}".casefold(), job_id),
            )

    def delete(self, job_id: str) -> None:
        """Take a job out of every sight at once; its files go as soon as nothing writes them."""
        self.cancel(job_id)
        with self.reading() as database:
            database.execute(
                "UPDATE jobs SET deleted = coalesce(deleted, ?), share = NULL WHERE id = ?",
                (time.time(), job_id),
            )

    def share(self, job_id: str) -> str:
        """Return the token by which anybody may look at a job; the same until it is withdrawn."""
        with self.reading() as database:
            row = database.execute(
                "UPDATE jobs SET share = coalesce(share, ?) WHERE id = ? AND deleted IS NULL "
                "RETURNING share",
                (secrets.token_urlsafe(16), job_id),
            ).fetchone()
        if row is None:
            raise KeyError(job_id)
        return row["share"]

    def unshare(self, job_id: str) -> None:
        """Withdraw a job's token: its links lead nowhere from now on."""
        with self.reading() as database:
            database.execute("UPDATE jobs SET share = NULL WHERE id = ?", (job_id,))

    def shared(self, token: str) -> Job | None:
        """Return the job that a token shows, or None."""
        if not SESSION_PATTERN.fullmatch(token):
            return None
        found = self._jobs("share = ? AND deleted IS NULL", token)
        return found[0] if found else None

    def touch(self, job_id: str) -> None:
        """Say that somebody looks at a job, which keeps it from being forgotten."""
        with self.reading() as database:
            database.execute("UPDATE jobs SET touched = ? WHERE id = ?", (time.time(), job_id))

    def census(self) -> Census:
        """Return how many jobs there are in each state, and how much they take."""
        with self.reading() as database:
            rows = database.execute(
                "SELECT state, count(*), sum(bytes), min(created) FROM jobs "
                "WHERE deleted IS NULL GROUP BY state"
            ).fetchall()
        oldest = next((row[3] for row in rows if row[0] == "queued"), None)
        return Census(
            states={row[0]: row[1] for row in rows},
            num_bytes=sum(row[2] for row in rows),
            oldest_wait_seconds=0.0 if oldest is None else max(0.0, time.time() - oldest),
        )

    def prune(self, seconds: float, max_bytes: float = float("inf")) -> None:
        """Forget what is deleted, what nobody looked at for so long, and the oldest beyond a size.

        Args:
            seconds: Since a job ended and was last looked at.
            max_bytes: All results together; the least lately looked at go first, and none that
                somebody looks at now.
        """
        now = time.time()
        ended = f"NOT {LIVE}"
        self._measure()
        gone = self._jobs(f"{ended} AND deleted IS NOT NULL")
        gone += self._jobs(
            f"{ended} AND deleted IS NULL AND max(finished, touched) < ?", now - seconds
        )
        for job in [*gone, *self._beyond(max_bytes, now, {job.id for job in gone})]:
            shutil.rmtree(self.folder(job), ignore_errors=True)
            with self.writing() as database:
                database.execute("DELETE FROM previews WHERE id = ?", (job.id,))
                # The row of what was handed in lately stays, empty: it counts within the hour.
                database.execute(
                    "UPDATE jobs SET deleted = ?, bytes = 0, title = '', words = '', "
                    "request = ? WHERE id = ?",
                    (now, FORGOTTEN, job.id),
                )
                database.execute(
                    "DELETE FROM jobs WHERE id = ? AND created < ?", (job.id, now - HOUR)
                )
        with self.reading() as database:
            # It has been counted for as long as it counts.
            database.execute(
                f"UPDATE jobs SET caller = NULL WHERE caller IS NOT NULL AND {ended} "
                "AND created < ?",
                (now - HOUR,),
            )
            database.execute(
                "DELETE FROM stage_times WHERE rowid <= (SELECT max(rowid) FROM stage_times) - ?",
                (NUM_TIMES_KEPT,),
            )

    def _measure(self) -> None:
        """Count what ended jobs take that count nothing, as their worker was killed."""
        for job in self._jobs(f"NOT {LIVE} AND deleted IS NULL AND bytes = 0"):
            if size := folder_bytes(self.folder(job)):
                with self.reading() as database:
                    # It may run again by now, or have been counted.
                    database.execute(
                        f"UPDATE jobs SET bytes = ? WHERE id = ? AND NOT {LIVE} AND bytes = 0",
                        (size, job.id),
                    )

    def _beyond(self, max_bytes: float, now: float, but: set[str]) -> list[Job]:
        """Return what has to go so that the rest fits."""
        with self.reading() as database:
            rows = database.execute(
                f"SELECT id, bytes, max(finished, touched) AS looked FROM jobs WHERE NOT {LIVE} "
                "AND deleted IS NULL ORDER BY looked"
            ).fetchall()
        rows = [row for row in rows if row["id"] not in but]
        excess = sum(row["bytes"] for row in rows) - max_bytes
        going = []
        for row in rows:
            if excess <= 0 or row["looked"] > now - LOOKED_SECONDS:
                break
            going += self._jobs("id = ?", row["id"])
            excess -= row["bytes"]
        return going


def folder_bytes(folder: Path) -> int:
    """Return the size of every file under a folder; what vanishes meanwhile counts nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(place, name)).st_size
    return total
