"""One worker of the executor `ray` as the driver sees it: its job, and when it last answered."""

import logging
import time
from collections.abc import Collection
from typing import Any

import ray
from ray.exceptions import RayError

from pipelines.jobs.leases import BEAT_SECONDS, LEASE_SECONDS
from pipelines.jobs.ray_actor import Ending, News
from pipelines.jobs.records import Job, Order
from pipelines.jobs.store import JobStore

BUSY_SECONDS, IDLE_SECONDS = 0.25, 1.0
"""Between two exchanges."""
GRACE_SECONDS: dict[Order, float] = {"cancel": 1.0, "stop": 20.0, "abandon": 20.0}
"""From an order to the kill, where the job has not ended by itself."""
START_SECONDS = 600.0
"""How long an actor may take until it answers for the first time, its process being started."""

logger = logging.getLogger(__name__)


class LostError(RuntimeError):
    """The worker is no more, or is to be no more."""

    def __init__(self, reason: str, *, by_order: bool = False) -> None:
        super().__init__(reason)
        self.by_order = by_order
        """It was ended on purpose, so nothing counts against its job."""


class Hand:
    """Drives one actor; the fleet calls `listen`, `heed`, `settle` and `run` in turn."""

    def __init__(self, store: JobStore, worker: str, actor: Any, warming: ray.ObjectRef) -> None:
        self.store = store
        self.worker = worker
        self.born = time.monotonic()
        self._actor = actor
        self._warming: ray.ObjectRef | None = warming
        self._talks: list[ray.ObjectRef] = [actor.exchange.remote()]
        self._running: ray.ObjectRef | None = None
        self._job: Job | None = None
        self._news: list[News] = []
        self._ending: Ending | None = None
        self._order: tuple[Order, float] | None = None
        self._heard: float | None = None
        self._asked = self.born
        self._beaten = float("-inf")

    @property
    def pending(self) -> list[ray.ObjectRef]:
        """What is waited for."""
        return [*self._talks, *(ref for ref in (self._warming, self._running) if ref is not None)]

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a job."""
        return self._job is None and self._warming is None

    def listen(self, ready: Collection[ray.ObjectRef], now: float) -> None:
        """Take what has come, and speak again where it is time.

        Raises:
            LostError: The actor is dead, silent, or sees another folder than the driver.
        """
        while self._talks and self._talks[0] in ready:
            self._news.append(_result(self._talks.pop(0)))
            self._heard = now
        if self._warming in ready:
            if not _result(self._warming):
                raise LostError("its machine does not see the folder of the jobs' store")
            self._warming = None
        if self._running in ready:
            self._ending, self._running = _result(self._running), None
        silence = now - (self._heard or self.born)
        if silence > (LEASE_SECONDS if self._heard else START_SECONDS):
            raise LostError(f"it has been silent for {silence:.0f} s")
        period = BUSY_SECONDS if self._job else IDLE_SECONDS
        if not self._talks and self._ending is None and now - self._asked > period:
            self._talks.append(self._actor.exchange.remote())
            self._asked = now

    def heed(self, orders: dict[str, Order | None], now: float) -> None:
        """Pass on what the job's visitor asked for; raises LostError where it is not done."""
        if self._job is None or self._job.lease is None or self._ending is not None:
            return
        order = orders.get(self._job.lease, "abandon")
        if order is not None and (self._order is None or self._order[0] != order):
            self._order = (order, now)
            self._talks.append(self._actor.exchange.remote(order, self._job.lease))
        if self._order and now - self._order[1] > GRACE_SECONDS[self._order[0]]:
            raise LostError(f"it did not heed '{self._order[0]}'", by_order=True)

    def settle(self) -> None:
        """Write into the store what has come; what it does not take stays for the next time."""
        if self._heard is not None and self._heard - self._beaten > BEAT_SECONDS:
            self.store.beat(self.worker)
            self._beaten = self._heard
        job = self._job
        while self._news:
            if job is not None and self._news[0].lease == job.lease:
                self._tell(job, self._news[0])
            del self._news[0]
        # What was said before the end is on its way.
        if job is None or self._ending is None or self._talks:
            return
        ending = self._ending
        self._tell(job, ending.news)
        if ending.state is not None:
            self.store.finish(job.id, ending.state, ending.message, job.lease, ending.num_bytes)
        self._job = self._ending = self._order = None

    def run(self, job: Job) -> None:
        """Begin with a job that was claimed for this worker."""
        assert self.is_idle
        self._job = job
        self._running = self._actor.run.remote(job, self.store.folder(job).resolve())

    def kill(self) -> None:
        """End the actor's process, whatever it does."""
        ray.kill(self._actor)

    def _tell(self, job: Job, news: News) -> None:
        if news.known is not None:
            self.store.publish_known(job.id, news.known)
        for progress, image in news.steps:
            self.store.publish(job.id, progress, image, job.lease)


def _result(ref: Any) -> Any:
    try:
        return ray.get(ref)
    except RayError as error:
        raise LostError(str(error).splitlines()[0]) from error
