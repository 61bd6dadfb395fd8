"""The workers of the executor `ray`: as many as the cluster's machines have room for."""

import itertools
import logging
import os
import secrets
import sqlite3
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipelines.jobs.housekeeping import Housekeeper
from pipelines.jobs.ray_actor import CONTROL, ModelActor
from pipelines.jobs.ray_cluster import Slot, plan_slots
from pipelines.jobs.ray_hand import Hand, LostError
from pipelines.jobs.records import Order
from pipelines.jobs.store import JobStore
from pipelines.jobs.worker import Chain

MARK_NAME = "ray.mark"
PASSED_ON = ("LATHE_PRECISION", "LATHE_ATTENTION", "LATHE_CACHE", "LATHE_COMPILE")
PASSED_ON += ("LATHE_LOG_PROMPTS", "LATHE_MATTING", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE")
"""Settings of the driver that its workers share; passwords and tokens are not among them."""
PASS_SECONDS, ORDERS_SECONDS, ROSTER_SECONDS = 0.05, 0.2, 1.0
MAX_BACKOFF_SECONDS = 60.0
AT_ONCE_SECONDS = 30.0

logger = logging.getLogger(__name__)


class Fleet:
    """One hand a slot; what is lost is given back at once and replaced."""

    def __init__(
        self,
        store: JobStore,
        name: str,
        make_chain: Callable[[], Chain],
        cpus_per_worker: int,
    ) -> None:
        self.store = store
        self.name = name
        self.make_chain = make_chain
        self.cpus_per_worker = cpus_per_worker
        remote: Any = ray.remote
        self._actor_class = remote(concurrency_groups={CONTROL: 1}, max_restarts=0)(ModelActor)
        self._hands: dict[Slot, Hand] = {}
        self._numbers = itertools.count(1)
        self._losses: dict[Slot, tuple[int, float]] = {}
        self._orders: dict[str, Order | None] = {}
        self._next_orders = self._next_roster = 0.0
        self._housekeeper = Housekeeper(store)
        self._secret = secrets.token_hex(16)
        self._mark = store.root.resolve() / MARK_NAME
        self._mark.write_text(self._secret)

    def work(self) -> None:
        """Run jobs as they come, for ever; ends by what Ray raises where its cluster is gone."""
        while True:
            try:
                self.look()
            except (sqlite3.Error, OSError):
                logger.exception("the jobs' store failed; the driver tries again")
                time.sleep(1.0)

    def look(self) -> None:
        """Do what is to be done now, after a moment in which something may happen."""
        pending = [ref for hand in self._hands.values() for ref in hand.pending]
        ready: set[ray.ObjectRef] = set()
        if pending:
            # Returns when one is there, or after the moment.
            ray.wait(pending, num_returns=1, timeout=PASS_SECONDS)
            ready = set(ray.wait(pending, num_returns=len(pending), timeout=0)[0])
        time.sleep(PASS_SECONDS)
        now = time.monotonic()
        # First of all the workers hear that the driver lives.
        self._each(lambda hand: hand.listen(ready, now))
        if now >= self._next_roster:
            self._next_roster = now + ROSTER_SECONDS
            self._muster(now)
        if now >= self._next_orders:
            self._next_orders = now + ORDERS_SECONDS
            self._orders = self.store.orders()
            self._each(lambda hand: hand.heed(self._orders, now))
        self._each(lambda hand: hand.settle())
        self._hand_out()
        self._housekeeper.look()

    def _hand_out(self) -> None:
        for hand in self._hands.values():
            if hand.is_idle:
                job = self.store.claim(hand.worker)
                if job is None:
                    return
                hand.run(job)

    def _each(self, action: Callable[[Hand], None]) -> None:
        for slot, hand in list(self._hands.items()):
            try:
                action(hand)
            except LostError as error:
                logger.error("worker %s is lost: %s", hand.worker, error)
                self._bury(slot, hand, error)

    def _bury(self, slot: Slot, hand: Hand, error: LostError) -> None:
        del self._hands[slot]
        hand.kill()
        now = time.monotonic()
        if error.by_order:
            self._losses.pop(slot, None)
        else:
            # What dies at once, each time, must not be started in a tight loop.
            count, _ = self._losses.get(slot, (0, 0.0))
            count = count + 1 if now - hand.born < AT_ONCE_SECONDS else 1
            self._losses[slot] = (count, now + min(MAX_BACKOFF_SECONDS, 2.0 ** min(count - 1, 10)))
        self.store.release(hand.worker, died=not error.by_order)

    def _muster(self, now: float) -> None:
        """Take on a hand for each slot that has none, and bury those whose machine is gone."""
        nodes = ray.nodes()
        alive = {node["NodeID"] for node in nodes if node["Alive"]}
        slots = plan_slots(nodes, self.cpus_per_worker)
        for slot in self._hands.keys() - set(slots):
            hand = self._hands[slot]
            if slot.node not in alive:
                logger.error("worker %s is lost with its machine", hand.worker)
                self._bury(slot, hand, LostError("its machine is gone"))
            elif hand.is_idle:
                # A machine with a GPU has come; cores alone are not worth a job any more.
                self._bury(slot, hand, LostError("it is not needed", by_order=True))
        for slot in slots:
            if slot in self._hands or now < self._losses.get(slot, (0, 0.0))[1]:
                continue
            self._hands[slot] = self._take_on(slot)

    def _take_on(self, slot: Slot) -> Hand:
        settings = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        actor = self._actor_class.options(
            num_cpus=slot.num_cpus,
            num_gpus=slot.num_gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(slot.node, soft=False),
        ).remote(self.make_chain, settings)
        worker = f"{self.name}/{next(self._numbers)}"
        return Hand(self.store, worker, actor, actor.warm.remote(self._mark, self._secret))
