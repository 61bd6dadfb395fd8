"""Long work in a thread of its own: signs of life while it lasts, and its result or its error."""

import threading

import pytest

from threed.patience import awaited
from threed.progress import finish


def test_signs_of_life_come_until_the_work_is_done() -> None:
    release = threading.Event()

    def work() -> str:
        assert release.wait(timeout=30)
        return "done"

    steps = awaited(work)
    for _ in range(3):
        next(steps)
    release.set()
    assert finish(steps) == "done"


def test_what_the_work_raises_is_raised() -> None:
    def work() -> str:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        finish(awaited(work))


def test_left_work_is_not_waited_for_to_its_end() -> None:
    release = threading.Event()
    steps = awaited(lambda: release.wait(timeout=30))
    next(steps)
    steps.close()
    assert not release.is_set()
    release.set()
