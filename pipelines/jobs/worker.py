"""The worker: one process that takes jobs from the store and runs them, one after another.

    python -m pipelines.jobs.worker RUNS_FOLDER

The page's process starts it and holds the other end of its standard input: when that closes, the
page is gone and the worker ends too.
"""

import argparse
import logging
import os
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Protocol, runtime_checkable

from pipelines.errors import InstallationError, ReconstructionError, RequestError
from pipelines.jobs.previews import encode_preview
from pipelines.jobs.records import Job, KnownThings
from pipelines.jobs.store import JobStore
from pipelines.request import GenerationRequest
from threed.progress import Progress
from threed.report import Report
from threed.run_folder import RunFolder

IDLE_SECONDS = 0.1
PUBLISH_SECONDS = 0.25
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


def work(store: JobStore, chain: Chain) -> None:
    """Run jobs as they come, for ever."""
    while True:
        job = store.claim()
        if job is None:
            time.sleep(IDLE_SECONDS)
        else:
            run_job(store, job, chain)


def run_job(store: JobStore, job: Job, chain: Chain) -> None:
    """Run one claimed job to its end, whatever that is; only a killed process leaves it running."""
    try:
        store.publish_known(job.id, chain.known(job.request))
        cancelled = _follow(store, job, chain)
    except InstallationError:
        logger.exception("job %s found a broken installation", job.id)
        store.finish(job.id, "failed", BROKEN)
    except (RequestError, ReconstructionError) as error:
        words = str(error)
        # What names the run's folder speaks to who owns the machine; a visitor is told no paths.
        if str(store.folder(job)) in words:
            logger.exception("job %s could not keep its files", job.id)
            words = UNWRITTEN
        store.finish(job.id, "failed", words)
    except Exception:
        logger.exception("job %s failed: %s", job.id, job.request)
        store.finish(job.id, "failed", APOLOGY)
    else:
        store.finish(job.id, "cancelled" if cancelled else "done")


def _follow(store: JobStore, job: Job, chain: Chain) -> bool:
    """Drive the chain, telling the store; return whether it was stopped before its end."""
    if store.cancel_asked(job.id):
        return True
    steps = chain.run(job.request, RunFolder.create(store.folder(job)))
    stage, published = None, 0.0
    try:
        for progress in steps:
            # A fast stage yields far oftener than anybody looks.
            news = progress.stage != stage or progress.step == progress.num_steps
            if news or time.monotonic() - published > PUBLISH_SECONDS:
                image = None if progress.preview is None else encode_preview(progress.preview)
                store.publish(job.id, progress, image)
                stage, published = progress.stage, time.monotonic()
            if store.cancel_asked(job.id):
                return True
    finally:
        steps.close()
    return False


def _end_with_the_page() -> None:
    """End this process when the page's end of standard input closes."""
    sys.stdin.buffer.read()
    os._exit(0)


def main(chain: Chain | None = None) -> None:
    """Run the worker on the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.jobs.worker", description=__doc__)
    parser.add_argument("runs", type=Path, help="the folder of the jobs' store")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
    threading.Thread(target=_end_with_the_page, daemon=True).start()
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
    work(JobStore(arguments.runs), chain)


if __name__ == "__main__":
    main()
