"""What is known of a job: the records that pass between the page, the store and the worker."""

from dataclasses import dataclass
from typing import Literal

from pipelines.request import GenerationRequest
from threed.progress import Stage

State = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True, kw_only=True)
class KnownThings:
    """What the model knows that lies near to a prompt."""

    familiar: bool
    """False where the prompt lies far from everything that the model was taught."""
    names: tuple[str, ...]
    """The nearest known things, nearest first."""


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
    """Seconds since the epoch; None until it is done, failed or cancelled."""
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

    @property
    def is_live(self) -> bool:
        """Whether anything about it may still change."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, kw_only=True)
class QueueLimits:
    """How much may wait at once.

    Raises:
        ValueError: A limit is below one.
    """

    per_session: int = 5
    """Jobs of one visitor that wait or run."""
    in_all: int = 100
    """Jobs of all visitors that wait or run."""
    num_attempts: int = 2
    """How often a job is started, where the program is stopped while it runs."""

    def __post_init__(self) -> None:
        for name in ("per_session", "in_all", "num_attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; at least 1 is allowed")
