"""The jobs' one SQLite file: its tables, how they grew, and how it is opened.

Each call opens its own connection, so that any thread of any process may call at any time. The
file is in WAL mode: readers never wait for writers. WAL needs all processes on one machine; workers
elsewhere speak through a process beside the file.
"""

import sqlite3
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.jobs.reserve import Reserve

FILE_NAME = "jobs.sqlite"
LOCK_SECONDS = 5.0
"""How long a writer waits for another before it gives up."""

TABLES = """
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

GALLERY_AND_LEASES = """
ALTER TABLE jobs ADD COLUMN place INTEGER NOT NULL DEFAULT 0;      -- order in the queue
ALTER TABLE jobs ADD COLUMN created REAL NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN touched REAL NOT NULL DEFAULT 0;       -- when somebody last looked
ALTER TABLE jobs ADD COLUMN deleted REAL;                          -- hidden since; files may go
ALTER TABLE jobs ADD COLUMN title TEXT NOT NULL DEFAULT '';
ALTER TABLE jobs ADD COLUMN words TEXT NOT NULL DEFAULT '';        -- title and prompt, case folded
ALTER TABLE jobs ADD COLUMN batch TEXT;
ALTER TABLE jobs ADD COLUMN share TEXT;
ALTER TABLE jobs ADD COLUMN continued INTEGER NOT NULL DEFAULT 0;  -- the video was there before
ALTER TABLE jobs ADD COLUMN stop_asked REAL;
ALTER TABLE jobs ADD COLUMN losses INTEGER NOT NULL DEFAULT 0;     -- workers that died of it
ALTER TABLE jobs ADD COLUMN worker TEXT;
ALTER TABLE jobs ADD COLUMN lease TEXT;                            -- a token, new with each claim
ALTER TABLE jobs ADD COLUMN lease_until REAL;
ALTER TABLE jobs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;      -- of the folder, once ended
UPDATE jobs SET place = number, created = coalesce(started, finished, 0);
CREATE UNIQUE INDEX jobs_by_share ON jobs (share) WHERE share IS NOT NULL;
CREATE INDEX jobs_by_place ON jobs (state, place);
CREATE TABLE workers (id TEXT PRIMARY KEY, seen REAL NOT NULL);
"""

ADDRESSES = """
ALTER TABLE jobs ADD COLUMN caller TEXT;  -- a hash of the address it came from; null: unknown
CREATE INDEX jobs_by_caller ON jobs (caller) WHERE caller IS NOT NULL;
"""

MIGRATIONS = (TABLES, GALLERY_AND_LEASES, ADDRESSES)
"""Run in order, each once in a file's life; `PRAGMA user_version` counts those that have run."""


class Database:
    """The file under a root folder, brought up to date when it is first opened."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.reserve = Reserve(root)
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        # SQLite removes its journal with the last connection and makes it anew with the next, even
        # for a reader: which takes time, and fails on a full disk. So one stays.
        held = sqlite3.connect(root / FILE_NAME, timeout=LOCK_SECONDS, check_same_thread=False)
        weakref.finalize(self, held.close)
        held.execute("PRAGMA journal_mode = WAL").fetchall()
        self._migrate()
        held.execute("SELECT count(*) FROM jobs").fetchall()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Open a connection on which each statement stands for itself."""
        database = sqlite3.connect(
            self.root / FILE_NAME, timeout=LOCK_SECONDS, isolation_level=None
        )
        database.row_factory = sqlite3.Row
        try:
            # The journal outlives a killed process; only a power cut may lose the last moments.
            database.execute("PRAGMA synchronous = NORMAL")
            yield database
        finally:
            database.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one transaction: all of the block takes effect, or none."""
        with self.reading() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                # A full disk may have ended the transaction already.
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def _migrate(self) -> None:
        with self.reading() as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
        # Nothing is to be written, so a full disk or a locked file shall not forbid the start.
        if version == len(MIGRATIONS):
            return
        with self.writing() as database:
            # Another process may have been here since.
            (version,) = database.execute("PRAGMA user_version").fetchone()
            for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
                # Not executescript, which would commit before it begins.
                for statement in _statements(script):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {number}")


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
