"""The executor `process`: one worker process, killed where it does not heed a cancel."""

import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from pipelines.jobs.heartbeat import new_worker_name
from pipelines.jobs.housekeeping import Housekeeper
from pipelines.jobs.store import JobStore
from threed.threads import sleep_soon

PROJECT_ROOT = Path(__file__).resolve().parents[2]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SupervisorConfig:
    """How patient the supervisor is.

    Raises:
        ValueError: A duration is not positive.
    """

    grace_seconds: float = 1.1
    """From a cancel to the kill, where the worker has not stopped by itself."""
    stop_grace_seconds: float = 20.0
    """The same from an early stop, which has something to write."""
    poll_seconds: float = 0.05
    """Between two looks at the worker."""
    max_backoff_seconds: float = 60.0
    """Longest wait after a worker that keeps dying, or a store that keeps failing."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(
                    f"{field.name} is {getattr(self, field.name)}; it must be positive"
                )


class Supervisor:
    """One worker process and the thread that watches it."""

    def __init__(
        self,
        store: JobStore,
        command: Sequence[str] = (sys.executable, "-m", "pipelines.jobs.worker"),
        config: SupervisorConfig | None = None,
        *,
        to_blame: bool = True,
    ) -> None:
        """Make a supervisor that has started nothing yet.

        Args:
            store: Whose jobs the worker runs.
            command: What starts the worker; the store's folder and a name are added.
            config: How patient it is.
            to_blame: The jobs of a worker that died may be what brought it down.
        """
        self.store = store
        self.to_blame = to_blame
        self.command = command
        self.config = config or SupervisorConfig()
        self._process: subprocess.Popen[bytes] | None = None
        self._worker = new_worker_name()
        self._spawned = 0.0
        self._num_crashes = 0
        self._housekeeper = Housekeeper(store)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the worker and watch it, in a thread."""
        self._thread.start()

    def submitted(self, job_id: str) -> None:
        """Do nothing: the worker looks by itself."""

    def stop(self) -> None:
        """End the worker; what it ran will be taken up again by the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._kill()
        with suppress(sqlite3.Error):
            self.store.release(self._worker, died=False)

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id, or None while there is none."""
        process = self._process
        return process.pid if process and process.poll() is None else None

    def _watch(self) -> None:
        num_faults = 0
        while not self._stopping.is_set():
            try:
                self._look()
            except (sqlite3.Error, OSError):
                # A full disk or a locked file: the queue must not stand still for ever after.
                num_faults += 1
                logger.exception("the jobs' store failed; the supervisor tries again")
                self._back_off(num_faults)
            else:
                num_faults = 0
            self._stopping.wait(self.config.poll_seconds)

    def _look(self) -> None:
        """Do what is to be done now; where the store fails midway, the next look does the rest."""
        if self._process and self._process.poll() is not None:
            self._bury()
            # A worker that dies at once, each time, must not be started in a tight loop.
            at_once = time.monotonic() - self._spawned < 30.0
            self._num_crashes = self._num_crashes + 1 if at_once else 1
            self._back_off(self._num_crashes)
        config = self.config
        if self._process and self.store.overdue(
            self._worker, config.grace_seconds, config.stop_grace_seconds
        ):
            self._kill()
            # What was asked to end has ended; the worker may have been killed at its next job.
            self.store.release(self._worker, died=False)
        if self._process is None and not self._stopping.is_set():
            self._spawn()
        self._housekeeper.look()

    def _back_off(self, num_failures: int) -> None:
        self._stopping.wait(min(self.config.max_backoff_seconds, 2.0 ** min(num_failures - 1, 10)))

    def _spawn(self) -> None:
        # Its own process group, so that a kill reaches whatever the worker may have started.
        self._worker = new_worker_name()
        environment = dict(os.environ)
        sleep_soon(environment)
        self._process = subprocess.Popen(
            [*self.command, str(self.store.root.resolve()), "--name", self._worker],
            stdin=subprocess.PIPE,
            start_new_session=True,
            # Where `python -m` finds the packages, wherever the page was started from.
            cwd=PROJECT_ROOT,
            env=environment,
        )
        self._spawned = time.monotonic()

    def _kill(self) -> None:
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin:
            process.stdin.close()
        self._process = None

    def _bury(self) -> None:
        """Give back what a dead worker held; what keeps killing workers ends as failed."""
        status = self._process.wait() if self._process else None
        logger.error("the worker ended with status %s and is started again", status)
        self.store.release(self._worker, died=self.to_blame)
        self._kill()
