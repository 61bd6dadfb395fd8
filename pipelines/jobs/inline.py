"""The executor `inline`: a thread of the page's own process, for hosts that lend a GPU a call.

On ZeroGPU a function gets the GPU while it runs, if `spaces.GPU` decorates it, and the visitor's
quota pays. So a job is run a stage a call, each with its own estimated duration, and within the
context of the event that handed the job in, for there the host finds whose quota it is. Where the
package `spaces` is absent the same stages run undecorated.

A cancel is heeded between two steps; there is no process of its own to kill. An early stop cannot
be thrown into a stage that the host runs in a process of its own: it is a sign that the stage looks
for after each step.
"""

import contextvars
import importlib
import importlib.util
import logging
import mmap
import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from pathlib import Path

from pipelines.jobs.heartbeat import Heartbeat, new_worker_name
from pipelines.jobs.housekeeping import Housekeeper
from pipelines.jobs.records import Job, KnownThings
from pipelines.jobs.store import JobStore
from pipelines.jobs.worker import IDLE_SECONDS, Chain, run_job
from pipelines.request import GenerationRequest
from threed.progress import EarlyStop, Progress, Stage, finish
from threed.report import Report
from threed.run_folder import STAGES, RunFolder

GPU_SECONDS: dict[str, float] = {
    "orbit": 15.0,
    "field": 75.0,
    "mesh": 18.0,
    "report": 5.0,
}
"""What one call asks the host for, a stage of the run folder. A GPU is faster than that."""
MADE: dict[Stage, str] = {
    "video": "orbit",
    "field": "field",
    "distillation": "field",
    "redraw": "redraw",
    "mesh": "mesh",
    "texture": "mesh",
    "report": "report",
}
"""The stage of the run folder that a stage of the chain works on."""
MAX_CONTEXTS = 200
"""Kept events of waiting jobs, before those are dropped that wait no more."""

logger = logging.getLogger(__name__)

RunStage = Callable[[GenerationRequest, Path, str], Generator[Progress, None, None]]


def stages_of(request: GenerationRequest) -> tuple[str, ...]:
    """Return the run folder's stages that a request makes, in order."""
    return ("orbit",) if request.video_only else tuple(GPU_SECONDS)


def gpu_seconds(request: GenerationRequest, path: Path, stage: str) -> int:
    """Return for how long a stage may hold the GPU: an upper estimate, in whole seconds."""
    return round(GPU_SECONDS[stage])


def on_gpu(run_stage: RunStage) -> RunStage:
    """Return the function decorated for the host, or as it is where `spaces` is absent."""
    if importlib.util.find_spec("spaces") is None:
        return run_stage
    return importlib.import_module("spaces").GPU(duration=gpu_seconds)(run_stage)


class StagedChain:
    """A chain that is entered anew for each stage of a run folder."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        # One byte of memory that the processes share into which the host forks this one.
        self._stop_asked = mmap.mmap(-1, 1)
        self._run_stage = on_gpu(self._run_until)

    def warm(self) -> None:
        """Load what the first job will need."""
        self.chain.warm()

    def known(self, request: GenerationRequest) -> KnownThings:
        """Return what the request's model knows near its prompt."""
        return self.chain.known(request)

    def run(
        self, request: GenerationRequest, folder: RunFolder
    ) -> Generator[Progress, None, Report | None]:
        """Run the request into a folder, a stage a call."""
        # The host may run a call in a process of its own, which must be able to hold the folder.
        folder.close()
        self._stop_asked[0] = False
        for stage in stages_of(request):
            if not folder.done(stage):
                yield from self._stoppable(self._run_stage(request, folder.path, stage))
        return None

    def _stoppable(self, steps: Generator[Progress, None, None]) -> Generator[Progress, None, None]:
        """Pass the steps on; where an early stop is thrown in, they hear of it and end first."""
        try:
            for progress in steps:
                try:
                    yield progress
                except EarlyStop:
                    self._stop_asked[0] = True
                    finish(steps)
                    raise
        finally:
            steps.close()

    def _run_until(
        self, request: GenerationRequest, path: Path, stage: str
    ) -> Generator[Progress, None, None]:
        """Run the chain until a stage is whole, and tell what it says of it; the rest is others'.

        The chain is begun anew with each call, and may say again what it said of earlier stages.
        """
        with RunFolder.create(path) as folder:
            whole = {made for made in STAGES if folder.done(made)}
            steps = self.chain.run(request, folder)
            try:
                for progress in steps:
                    made = MADE[progress.stage]
                    if made in whole:
                        continue
                    if folder.done(stage) and not folder.done(made):
                        return
                    yield progress
                    if self._stop_asked[0]:
                        _keep(steps)
                        return
            finally:
                steps.close()


def _keep(steps: Generator[Progress, None, Report | None]) -> None:
    """Stop the steps early and let them keep what they have."""
    # The stop comes out again, unless all was done anyway.
    with suppress(EarlyStop, StopIteration):
        steps.throw(EarlyStop())
        finish(steps)


class InlineExecutor:
    """One worker, a thread; its chain is loaded in it when the executor starts."""

    def __init__(self, store: JobStore, chain: Chain | None = None) -> None:
        self.store = store
        self._chain = chain
        self._worker = new_worker_name()
        self._housekeeper = Housekeeper(store)
        self._contexts: dict[str, contextvars.Context] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="inline worker", daemon=True)

    def start(self) -> None:
        """Begin to take jobs, in a thread."""
        self._thread.start()

    def submitted(self, job_id: str) -> None:
        """Remember the visitor's event, in whose context the job will run."""
        if len(self._contexts) >= MAX_CONTEXTS:
            # Of jobs that were cancelled while they waited.
            waiting = {job.id for job in self.store.queue()}
            for old in self._contexts.keys() - waiting:
                del self._contexts[old]
        self._contexts[job_id] = contextvars.copy_context()

    def stop(self) -> None:
        """Give back what runs, which makes it end at its next step, and end the thread."""
        self._stopping.set()
        with suppress(sqlite3.Error):
            self.store.release(self._worker, died=False)
        if self._thread.is_alive():
            self._thread.join()

    def _work(self) -> None:
        chain = self._load()
        ended = True
        with Heartbeat(self.store, self._worker):
            while not self._stopping.is_set():
                try:
                    if not ended:
                        # Until this is written the heartbeat would keep its lease, for ever.
                        self.store.release(self._worker, died=False)
                        ended = True
                    self._housekeeper.look()
                    job = self.store.claim(self._worker)
                except (sqlite3.Error, OSError):
                    logger.exception("the jobs' store failed; the worker tries again")
                    self._stopping.wait(1.0)
                    continue
                if job is None:
                    self._stopping.wait(IDLE_SECONDS)
                    continue
                ended = self._run(job, chain)

    def _run(self, job: Job, chain: StagedChain) -> bool:
        """Run a job in its visitor's context; return False where its end could not be written."""
        context = self._contexts.pop(job.id, None) or contextvars.copy_context()
        try:
            context.run(run_job, self.store, job, chain)
        except (sqlite3.Error, OSError):
            logger.exception("the end of job %s was not written; it is given back", job.id)
            # It may be taken up again.
            self._contexts[job.id] = context
            self._stopping.wait(1.0)
            return False
        return True

    def _load(self) -> StagedChain:
        if self._chain is None:
            from pipelines.jobs.chain import ModelChain

            self._chain = ModelChain()
        chain = StagedChain(self._chain)
        try:
            chain.warm()
        except Exception:
            # Each job will meet the same fault and tell its visitor.
            logger.exception("the model did not load")
        return chain
