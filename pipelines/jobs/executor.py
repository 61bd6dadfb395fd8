"""Where the store's jobs are run: one protocol, and the choice of who meets it.

    LATHE_EXECUTOR=process    a worker process beside the page (the default)
    LATHE_EXECUTOR=inline     a thread of the page's own process, for hosts that lend a GPU a call
    LATHE_EXECUTOR=ray        a worker a GPU, on one machine or many (needs requirements-ray.txt)

The store stays the only truth. An executor owns workers; each worker has a name and does three
things, all of them calls of the store (`pipelines.jobs.leases`):

- `claim(worker)` hands it a job with a `lease`, a token that everything it says must carry. The
  job's folder is `store.folder(job)`; `run_job(store, job, chain)` in `pipelines.jobs.worker` runs
  it to its end, previews, cancelling, early stop and errors in words included.
- `beat(worker)` every `BEAT_SECONDS` (see `Heartbeat`) keeps its leases; after `LEASE_SECONDS` of
  silence `reclaim()` queues its jobs again, and what it still says with an old token is not heard.
- `release(worker, died=...)` gives its jobs back at once where its end is known.

A job that was given back goes on from its last whole stage, on whichever worker claims it next and
can see the folder. Cancelling is a flag: `order(job_id, lease)` says what to do. An executor must
see to it that a cancelled job ends within two seconds, if need be by killing its worker
(`overdue`).
"""

import os
from typing import Protocol, runtime_checkable

from pipelines.errors import RequestError
from pipelines.jobs.store import JobStore

EXECUTORS = ("process", "inline", "ray")
VARIABLE = "LATHE_EXECUTOR"


@runtime_checkable
class Executor(Protocol):
    """Runs the jobs of one store."""

    def start(self) -> None:
        """Begin to take jobs; returns at once. Called once."""
        ...

    def submitted(self, job_id: str) -> None:
        """Hear that a job waits; called within the event of the visitor who handed it in.

        For most there is nothing to do, for workers look by themselves.
        """
        ...

    def stop(self) -> None:
        """End every worker and give back what they ran."""
        ...


def open_executor(store: JobStore, name: str | None = None) -> Executor:
    """Return the executor of a name, or of the one in the environment; it is not started yet.

    Raises:
        RequestError: There is none of that name, or it lacks what it needs.
    """
    name = name or os.environ.get(VARIABLE) or "process"
    if name == "process":
        from pipelines.jobs.supervisor import Supervisor

        return Supervisor(store)
    if name == "inline":
        from pipelines.jobs.inline import InlineExecutor

        return InlineExecutor(store)
    if name == "ray":
        from pipelines.jobs.ray_executor import RayExecutor

        return RayExecutor(store)
    raise RequestError(f"{VARIABLE} is {name!r}; it can be {_listed(EXECUTORS)}")


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
