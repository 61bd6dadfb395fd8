"""How long a stage takes and how much memory the process holds meanwhile."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOOK_SECONDS = 0.02


class Stages:
    """A stopwatch with a memory gauge, a stage at a time."""

    def __init__(self) -> None:
        self.by_name: dict[str, tuple[float, float]] = {}
        """Seconds and peak resident memory (MiB) of each stage so far."""

    @property
    def total(self) -> float:
        """Seconds of all stages."""
        return sum(seconds for seconds, _ in self.by_name.values())

    @property
    def peak_mib(self) -> float:
        """Most resident memory in any stage, MiB."""
        return max((mib for _, mib in self.by_name.values()), default=0.0)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what runs inside."""
        over = threading.Event()
        peak = [resident_mib()]

        def look() -> None:
            while not over.wait(LOOK_SECONDS):
                peak[0] = max(peak[0], resident_mib())

        watch = threading.Thread(target=look, daemon=True)
        watch.start()
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            over.set()
            watch.join()
            self.by_name[name] = (seconds, max(peak[0], resident_mib()))


def resident_mib() -> float:
    """Return what this process holds in memory now, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
