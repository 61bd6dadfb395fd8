"""What `run_job` needs of whoever holds the job's lease: the store itself, or a link to it."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from pipelines.jobs.records import Job, KnownThings, Order, State
from threed.progress import Progress


@runtime_checkable
class Holder(Protocol):
    """Hears how a job goes and says what is to become of it; `JobStore` is one."""

    def folder(self, job: Job) -> Path:
        """Return where the job's results lie."""
        ...

    def order(self, job_id: str, lease: str | None = None) -> Order | None:
        """Return what is to be done, or None: go on."""
        ...

    def publish_known(self, job_id: str, known: KnownThings) -> None:
        """Hear what the model knows near the prompt."""
        ...

    def publish(
        self, job_id: str, progress: Progress, image: bytes | None, lease: str | None = None
    ) -> None:
        """Hear how far the job is."""
        ...

    def finish(
        self,
        job_id: str,
        state: State,
        message: str = "",
        lease: str | None = None,
        num_bytes: int = 0,
    ) -> None:
        """Hear how the job ended."""
        ...
