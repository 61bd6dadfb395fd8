"""A worker of the executor `ray`: an actor that keeps a model warm on one GPU.

It never touches the store, for SQLite's journal needs all its users on one machine. It is handed a
job and the job's folder, which all machines share, and `exchange` carries the driver's orders in
and the news out. Where the driver has been silent for `FENCE_SECONDS`, which is less than its lease
lasts, the job will be given to somebody else, so the actor ends itself.
"""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import ray

from pipelines.errors import RequestError
from pipelines.jobs.logs import hide_keys
from pipelines.jobs.records import Job, KnownThings, Order, State
from pipelines.jobs.worker import Chain, run_job
from threed.errors import FolderInUseError
from threed.progress import Progress
from threed.run_folder import RunFolder

FENCE_SECONDS = 15.0
FREE_SECONDS = 120.0
"""How long a folder may still be locked by the worker that held the job before; a network file
system notices the death of a machine after a minute or two."""
CONTROL = "control"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class News:
    """What happened since the driver last asked."""

    lease: str | None = None
    """Of the job that it is about; None where none runs."""
    known: KnownThings | None = None
    steps: tuple[tuple[Progress, bytes | None], ...] = ()
    """The last step of each stage, in order, without its frames; and the newest picture, JPEG."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a job ended."""

    news: News
    """The last."""
    state: State | None
    """None where it is another worker's now."""
    message: str = ""
    num_bytes: int = 0


class Link:
    """What stands in for the store where a job runs: news wait here until the driver asks."""

    def __init__(self, folder: Path, lease: str | None) -> None:
        self._folder = folder
        self._lease = lease
        self._order: Order | None = None
        self._news = News(lease=lease)
        self._ending = Ending(news=self._news, state=None)
        self._lock = threading.Lock()

    def exchange(self, order: Order | None = None, lease: str | None = None) -> News:
        """Take the driver's order, if it is about this job, and return the news."""
        with self._lock:
            if order is not None and lease == self._lease:
                self._order = order
            news, self._news = self._news, News(lease=self._lease)
        return news

    def ending(self) -> Ending:
        """Return how the job ended, with the news that nobody has asked for."""
        return replace(self._ending, news=self.exchange())

    def folder(self, job: Job) -> Path:
        """Return where the job's results lie."""
        return self._folder

    def order(self, job_id: str, lease: str | None = None) -> Order | None:
        """Return the driver's order, or None: go on."""
        return self._order

    def publish_known(self, job_id: str, known: KnownThings) -> None:
        """Keep what the model knows near the prompt."""
        with self._lock:
            self._news = replace(self._news, known=known)

    def publish(
        self, job_id: str, progress: Progress, image: bytes | None, lease: str | None = None
    ) -> None:
        """Keep how far the job is."""
        progress = replace(progress, preview=None)
        with self._lock:
            steps = self._news.steps
            if steps and steps[-1][0].stage == progress.stage:
                # An older step says nothing more; a picture waits until it is seen.
                steps, image = steps[:-1], image or steps[-1][1]
            self._news = replace(self._news, steps=(*steps, (progress, image)))

    def finish(
        self,
        job_id: str,
        state: State,
        message: str = "",
        lease: str | None = None,
        num_bytes: int = 0,
    ) -> None:
        """Keep how the job ended."""
        self._ending = replace(self._ending, state=state, message=message, num_bytes=num_bytes)


class ModelActor:
    """Runs jobs one after another; `exchange` is answered meanwhile, by a thread of its own."""

    def __init__(self, make_chain: Callable[[], Chain], settings: dict[str, str]) -> None:
        # Before torch and the models' libraries, which read some of them when they are loaded.
        os.environ.update(settings)
        logging.basicConfig(level=logging.INFO, format="worker: %(message)s")
        hide_keys()
        with suppress(OSError):
            # The page must stay quick where it shares the cores.
            os.nice(5)
        self._make_chain = make_chain
        self._chain: Chain | None = None
        self._link: Link | None = None
        self._heard = time.monotonic()
        threading.Thread(target=self._fence, name="fence", daemon=True).start()

    def warm(self, mark: Path, secret: str) -> bool:
        """Load the model; return whether this machine sees the driver's folder.

        Args:
            mark: A file that the driver wrote there.
            secret: What is in it.
        """
        if not mark.is_file() or mark.read_text() != secret:
            return False
        self._chain = self._make_chain()
        try:
            self._chain.warm()
        except Exception:
            # Each job will meet the same fault and tell its visitor.
            logger.exception("the model did not load")
        return True

    @ray.method(concurrency_group=CONTROL)
    def exchange(self, order: Order | None = None, lease: str | None = None) -> News:
        """Hear from the driver, perhaps what is to become of a job, and tell what happened."""
        self._heard = time.monotonic()
        link = self._link
        return link.exchange(order, lease) if link else News()

    def run(self, job: Job, folder: Path) -> Ending:
        """Run a job to its end."""
        assert self._chain is not None
        self._heard = time.monotonic()
        link = self._link = Link(folder, job.lease)
        try:
            _wait_until_free(folder, link)
            run_job(link, job, self._chain)
        finally:
            self._link = None
        return link.ending()

    def _fence(self) -> None:
        while True:
            time.sleep(1.0)
            if self._link is not None and time.monotonic() - self._heard > FENCE_SECONDS:
                logger.error("the driver is silent; this worker ends, for its job is lost")
                os._exit(1)


def _wait_until_free(folder: Path, link: Link) -> None:
    """Return when the folder's lock is free, or an order came, or waiting is of no use."""
    deadline = time.monotonic() + FREE_SECONDS
    while time.monotonic() < deadline and link.order("") is None:
        try:
            RunFolder.create(folder).close()
            return
        except FolderInUseError:
            time.sleep(0.5)
        except RequestError:
            # The job will meet the same and tell its visitor.
            return


def model_chain() -> Chain:
    """Return the chain that runs the catalogue's models, loading none yet."""
    from pipelines.jobs.chain import ModelChain

    return ModelChain()
