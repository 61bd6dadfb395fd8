"""Hostile requests, in small: what `benchmarks/hostile.py` does two thousand times."""

from pathlib import Path

from benchmarks.hostile import bombard, files_of
from pipelines.jobs.supervisor import PROJECT_ROOT
from tests.ui.served import served_page


def test_hostile_requests_learn_nothing_leave_nothing_and_break_nothing(tmp_path: Path) -> None:
    rooms = [PROJECT_ROOT / room for room in ("ui", "pipelines", "threed", "assets")]
    before = files_of(*rooms)
    with served_page(tmp_path) as (url, desk):
        found = bombard(url, 150, seed=1, num_at_once=4)
        assert found.faults == []
        assert found.told_too_much == []
        assert found.well
        # Whatever was taken in was taken in as a job with a folder of its own.
        assert {path.name for path in tmp_path.iterdir()} == {"runs"}
        names = {path.name.split("-")[0] for path in desk.store.root.iterdir()}
        assert names <= {"jobs.sqlite", "reserve", "sessions"}
    assert files_of(*rooms) == before
    assert len(found.statuses) > 2
