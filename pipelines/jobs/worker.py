"""The worker: one process that takes jobs from the store and runs them, one after another.

    python -m pipelines.jobs.worker RUNS_FOLDER

The page's process starts it and holds the other end of its standard input: when that closes, the
page is gone and the worker ends too.
"""

import argparse
import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipelines.errors import InstallationError, ReconstructionError, RequestError
from pipelines.jobs.heartbeat import Heartbeat, new_worker_name
from pipelines.jobs.holder import Holder
from pipelines.jobs.keeping import folder_bytes
from pipelines.jobs.logs import hide_keys
from pipelines.jobs.previews import encode_preview
from pipelines.jobs.records import Job, KnownThings, State
from pipelines.jobs.store import JobStore, QueueLimits
from pipelines.request import GenerationRequest
from threed.progress import EarlyStop, Progress
from threed.report import Report
from threed.run_folder import RunFolder

IDLE_SECONDS = 0.1
PUBLISH_SECONDS = 0.25
PATIENCE_SECONDS = 60.0
"""How long a worker tries to say how a job ended before it gives up and ends itself."""
LOG_PROMPTS_VARIABLE = "LATHE_LOG_PROMPTS"
APOLOGY = "Something went wrong inside the program; it has been logged. Please try again."
BROKEN = "This model's files are missing or damaged on the server; it has been logged."
UNWRITTEN = (
    "The server could not keep the results, perhaps because its disk is full; it has been logged. "
    "Please try again later."
)

logger = logging.getLogger(__name__)


@runtime_checkable
class Chain(Protocol):
    """The work that a worker does, and what it can say before it begins."""

    def warm(self) -> None:
        """Load what the first job will need."""
        ...

    def known(self, request: GenerationRequest) -> KnownThings:
        """Return what the request's model knows near its prompt."""
        ...

    def run(
        self, request: GenerationRequest, folder: RunFolder
    ) -> Generator[Progress, None, Report | None]:
        """Run the request into a folder."""
        ...


def work(store: JobStore, chain: Chain, worker: str) -> None:
    """Run jobs as they come, for ever."""
    with Heartbeat(store, worker):
        while True:
            try:
                job = store.claim(worker)
            except sqlite3.Error:
                logger.exception("no job could be taken; the worker tries again")
                job = None
                time.sleep(1.0)
            if job is None:
                time.sleep(IDLE_SECONDS)
            else:
                run_job(store, job, chain)


def run_job(store: Holder, job: Job, chain: Chain) -> None:
    """Run one claimed job to its end, whatever that is; only a killed process leaves it running."""
    message = ""
    try:
        with suppress(sqlite3.Error):
            store.publish_known(job.id, chain.known(job.request))
        state = _follow(store, job, chain)
    except InstallationError:
        logger.exception("%s found a broken installation", in_log(job))
        state, message = "failed", BROKEN
    except (RequestError, ReconstructionError) as error:
        state, message = "failed", str(error)
        # What names the run's folder speaks to who owns the machine; a visitor is told no paths.
        if str(store.folder(job)) in message:
            logger.exception("%s could not keep its files", in_log(job))
            message = UNWRITTEN
    except Exception:
        logger.exception("%s failed", in_log(job))
        state, message = "failed", APOLOGY
    if state is None:
        logger.warning("job %s is another worker's now", job.id)
        return
    size = folder_bytes(store.folder(job))
    _insist(lambda: store.finish(job.id, state, message, job.lease, size))


def in_log(job: Job) -> str:
    """Return what the log calls a job: its number alone, unless the host wants to know more."""
    if os.environ.get(LOG_PROMPTS_VARIABLE) == "1":
        return f"job {job.id} ({job.request.to_json()})"
    return f"job {job.id}"


def _follow(store: Holder, job: Job, chain: Chain) -> State | None:
    """Drive the chain, telling the store; return how it ended, None where it is another's now."""
    if ended := _ended_by_order(store, job):
        return ended[0]
    stage, published = None, 0.0
    with RunFolder.create(store.folder(job)) as folder:
        steps = chain.run(job.request, folder)
        try:
            for progress in steps:
                # A fast stage yields far oftener than anybody looks.
                news = progress.stage != stage or progress.step == progress.num_steps
                if news or time.monotonic() - published > PUBLISH_SECONDS:
                    _publish(store, job, progress)
                    stage, published = progress.stage, time.monotonic()
                if ended := _ended_by_order(store, job):
                    if ended[0] == "stopped":
                        _stop_early(steps)
                    return ended[0]
        finally:
            steps.close()
    return "done"


def _ended_by_order(store: Holder, job: Job) -> tuple[State | None] | None:
    """Return the state to end in, in brackets, or None: go on."""
    try:
        order = store.order(job.id, job.lease)
    except sqlite3.Error:
        # The store is locked; the next step asks again.
        return None
    if order is None:
        return None
    return ({"cancel": "cancelled", "stop": "stopped", "abandon": None}[order],)


def _stop_early(steps: Generator[Progress, None, Report | None]) -> None:
    """Let the chain keep what it has."""
    try:
        steps.throw(EarlyStop())
        # It may say that it writes; there is nobody to tell.
        for _ in steps:
            pass
    except EarlyStop:
        pass


def _publish(store: Holder, job: Job, progress: Progress) -> None:
    image = None if progress.preview is None else encode_preview(progress.preview)
    try:
        store.publish(job.id, progress, image, job.lease)
    except sqlite3.Error:
        # What is not told now is told by the next step.
        logger.warning("the progress of job %s was not written", job.id, exc_info=True)


def _insist(action: Callable[[], None]) -> None:
    """Do something with the store, again and again while it is locked or its disk is full."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return action()
        except sqlite3.Error:
            if time.monotonic() > deadline:
                raise
            logger.warning("the store did not take a job's end; tried again", exc_info=True)
            time.sleep(0.5)


def _end_with_the_page(store: JobStore, worker: str) -> None:
    """End this process when the page's end of standard input closes."""
    sys.stdin.buffer.read()
    # So that the next start need not wait until the lease runs out.
    with suppress(sqlite3.Error):
        store.release(worker, died=False)
    os._exit(0)


def main(chain: Chain | None = None) -> None:
    """Run the worker on the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.jobs.worker", description=__doc__)
    parser.add_argument("runs", type=Path, help="the folder of the jobs' store")
    parser.add_argument("--name", default=new_worker_name(), help="what the store calls it")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    hide_keys()
    store = JobStore(arguments.runs, QueueLimits.from_environment())
    threading.Thread(target=_end_with_the_page, args=(store, arguments.name), daemon=True).start()
    # The page must stay quick while every core computes.
    os.nice(5)
    if chain is None:
        # Here and not above, so that the closing of standard input is heeded during the seconds
        # that these imports take.
        from pipelines.jobs.chain import ModelChain

        chain = ModelChain()
    try:
        chain.warm()
    except Exception:
        # Each job will meet the same fault and tell its visitor; the worker lives on for that.
        logger.exception("the model did not load")
    work(store, chain, arguments.name)


if __name__ == "__main__":
    main()
