"""The jobs' store: one SQLite file and one folder a job, shared by the page and its workers.

The page submits, asks and cancels (`intake`) and keeps galleries (`keeping`); workers claim,
publish and finish (`leases`). Every name in it is random: a job is reached only through its
session, and a session only by who holds its key.
"""

from pipelines.jobs.intake import SESSION_PATTERN, new_session
from pipelines.jobs.keeping import Keeping
from pipelines.jobs.records import QueueLimits

__all__ = ["SESSION_PATTERN", "JobStore", "QueueLimits", "new_session"]


class JobStore(Keeping):
    """Jobs, their progress and their folders under one root."""
