"""What every executor does beside running jobs: taking back lost ones, and forgetting old ones."""

import os
import time
from dataclasses import dataclass, fields

from pipelines.jobs.store import JobStore

RECLAIM_SECONDS, PRUNE_SECONDS = 1.0, 60.0
HOURS_VARIABLE, GIGABYTES_VARIABLE = "LATHE_KEEP_HOURS", "LATHE_KEEP_GB"


@dataclass(frozen=True, kw_only=True)
class KeepingConfig:
    """How long results stay.

    Raises:
        ValueError: A limit is not positive.
    """

    keep_seconds: float = 7 * 24 * 3600.0
    """How long a job's results are kept after it ended and somebody last looked at them."""
    keep_bytes: float = 20e9
    """All results together; beyond it, what was looked at longest ago goes first."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(
                    f"{field.name} is {getattr(self, field.name)}; it must be positive"
                )

    @staticmethod
    def from_environment() -> "KeepingConfig":
        """Return the limits that LATHE_KEEP_HOURS and LATHE_KEEP_GB set, else the defaults."""
        default = KeepingConfig()
        hours = float(os.environ.get(HOURS_VARIABLE) or default.keep_seconds / 3600)
        gigabytes = float(os.environ.get(GIGABYTES_VARIABLE) or default.keep_bytes / 1e9)
        return KeepingConfig(keep_seconds=hours * 3600, keep_bytes=gigabytes * 1e9)


class Housekeeper:
    """Looks after a store; call `look` often, it does what is due."""

    def __init__(self, store: JobStore, config: KeepingConfig | None = None) -> None:
        self.store = store
        self.config = config or KeepingConfig.from_environment()
        self._next_reclaim = self._next_prune = 0.0

    def look(self) -> None:
        """Take back what lost its worker, and forget what is old, each when its time has come."""
        now = time.monotonic()
        if now >= self._next_reclaim:
            # Of workers elsewhere, and of a program that was killed together with its own.
            self.store.reclaim()
            self._next_reclaim = now + RECLAIM_SECONDS
        if now >= self._next_prune:
            self.store.prune(self.config.keep_seconds, self.config.keep_bytes)
            self.store.reserve.keep()
            self._next_prune = now + PRUNE_SECONDS
