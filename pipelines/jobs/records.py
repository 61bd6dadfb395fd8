"""What is known of a job: the records that pass between the page, the store and the worker."""

import os
from dataclasses import dataclass, field, fields
from typing import Literal

from pipelines.request import GenerationRequest
from threed.progress import Stage

LIMITS_VARIABLE = "LATHE_LIMITS"

State = Literal["queued", "running", "done", "stopped", "failed", "cancelled"]
Order = Literal["cancel", "stop", "abandon"]
"""What a running job's worker is to do: end it, end it with what there is, or leave it to the
worker that holds it now."""


@dataclass(frozen=True, kw_only=True)
class KnownThings:
    """What the model knows that lies near to a prompt."""

    familiar: bool
    """False where the prompt lies far from everything that the model was taught."""
    names: tuple[str, ...]
    """The nearest known things, nearest first."""
    drawn_as: str | None = None
    """What the prompt is drawn as; None where it is taken as it was typed."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One request on its way through the queue, as it stood when the store was asked."""

    id: str
    """Random and unguessable."""
    session: str
    """The visitor that it belongs to; nobody else may see it."""
    request: GenerationRequest
    state: State
    num_ahead: int
    """Jobs that will run before this one; 0 where it no longer waits."""
    started: float | None
    """Seconds since the epoch; None while it waits."""
    finished: float | None
    """Seconds since the epoch; None until it is done, stopped, failed or cancelled."""
    stage: Stage | None
    """The stage at work; None before the first."""
    stage_started: float | None
    """Seconds since the epoch."""
    step: int
    num_steps: int
    message: str
    """What happens now; after a failure, what went wrong, in words for the visitor."""
    cancelling: bool
    """Cancel was asked for and the job still runs."""
    known: KnownThings | None
    """None until the worker has looked."""
    previews: dict[Stage, int]
    """How often each stage's preview has been renewed; a stage without one is absent."""
    stopping: bool = False
    """Stop was asked for, which keeps what there is, and the job still runs."""
    title: str = ""
    """What its visitor calls it; the prompt, unless it was renamed."""
    batch: str | None = None
    """Shared by jobs that were handed in together; None for one that came alone."""
    share: str | None = None
    """The token by which anybody may look at it; None where it is not shared."""
    created: float = 0.0
    """When it was handed in, seconds since the epoch."""
    continued: bool = False
    """It builds on a video that was finished before."""
    spent: dict[Stage, float] = field(default_factory=dict)
    """Seconds that each stage took that this go has behind it, while it runs."""
    worker: str | None = None
    """Who runs it."""
    lease: str | None = None
    """The worker's token: what it says counts only as long as it is this one."""

    @property
    def is_live(self) -> bool:
        """Whether anything about it may still change by itself."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """How much may wait at once.

    Several visitors may share an address, so an address may have more than a visitor.

    Raises:
        ValueError: A limit is below one, or one of an address's below nought.
    """

    per_session: int = 8
    """Jobs of one visitor that wait or run."""
    running_per_session: int = 2
    """Jobs of one visitor that run at once, where there are several workers."""
    per_hour: int = 60
    """Jobs that one visitor may hand in within an hour."""
    per_address: int = 24
    """Jobs from one address that wait or run; 0 is no limit, for this and the next two."""
    running_per_address: int = 4
    """Jobs from one address that run at once."""
    per_address_hour: int = 240
    """Jobs that may be handed in from one address within an hour."""
    in_all: int = 100
    """Jobs of all visitors that wait or run."""
    num_attempts: int = 3
    """How many workers may die while they run one job before it is given up."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            given, least = getattr(self, limit.name), 0 if "address" in limit.name else 1
            if given < least:
                raise ValueError(f"{limit.name} is {given}; at least {least} is allowed")

    @staticmethod
    def from_environment() -> "QueueLimits":
        """Return the limits with those replaced that LATHE_LIMITS names: "per_hour=20, in_all=9".

        Raises:
            ValueError: It names no limit, or a value is not allowed.
        """
        known = {limit.name for limit in fields(QueueLimits)}
        changes = {}
        for change in filter(str.strip, os.environ.get(LIMITS_VARIABLE, "").split(",")):
            name, _, value = (part.strip() for part in change.partition("="))
            if name not in known or not value.isdecimal():
                raise ValueError(
                    f"{LIMITS_VARIABLE} has {change.strip()!r}; it must be NAME=NUMBER, with a "
                    f"name of {', '.join(sorted(known))}"
                )
            changes[name] = int(value)
        return QueueLimits(**changes)


@dataclass(frozen=True, kw_only=True)
class Census:
    """All that a store holds, counted."""

    states: dict[State, int]
    """Jobs by state; deleted ones do not count."""
    num_bytes: int
    """Of all results."""
    oldest_wait_seconds: float
    """Since the oldest waiting job was handed in; 0 where nothing waits."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How long the queue is."""

    num_waiting: int
    num_running: int
    num_workers: int
    """Workers that have been heard of lately."""
    wait_seconds: float
    """Until a job that is handed in now would begin; of a job, until it begins."""
