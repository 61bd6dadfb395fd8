"""What the tests of the page share."""

import sys
from pathlib import Path

import pytest

from pipelines.jobs.store import JobStore
from pipelines.jobs.supervisor import Supervisor
from ui.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk over an empty store, whose worker never comes: tests run the jobs themselves."""
    store = JobStore(tmp_path / "runs")
    supervisor = Supervisor(store, (sys.executable, "-c", "input()"))
    return Desk(store, supervisor, served=tmp_path / "served")
