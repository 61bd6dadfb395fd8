"""The heartbeat: a thread that keeps a worker's leases while it computes."""

import logging
import os
import secrets
import socket
import sqlite3
import threading
from types import TracebackType

from pipelines.jobs.leases import BEAT_SECONDS
from pipelines.jobs.store import JobStore

logger = logging.getLogger(__name__)


def new_worker_name() -> str:
    """Return a name that no worker had before; it says where it runs, for the host's eyes."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Heartbeat:
    """Beats as long as its block lasts; the worker gives its jobs back itself."""

    def __init__(self, store: JobStore, worker: str, seconds: float = BEAT_SECONDS) -> None:
        self.store = store
        self.worker = worker
        self.seconds = seconds
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while True:
            try:
                self.store.beat(self.worker)
            except (sqlite3.Error, OSError):
                # A locked file or a full disk; the lease outlasts several beats.
                logger.exception("the heartbeat was not written")
            if self._ended.wait(self.seconds):
                return
