"""Refusals and apologies that visitors meet are in their language."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.errors import RequestError
from pipelines.jobs.leases import LOST_MESSAGE
from pipelines.jobs.memory import check_memory
from pipelines.jobs.store import JobStore, QueueLimits
from pipelines.jobs.supervisor import Supervisor
from pipelines.jobs.worker import APOLOGY, BROKEN, UNWRITTEN
from pipelines.request import GenerationRequest
from tests.ui.test_words import DEFAULTS
from ui.compose import read_requests
from ui.desk import Desk
from ui.words import sentence

CHAIR = GenerationRequest(prompt="a chair")
FEW = QueueLimits(per_session=1, in_all=2, per_hour=3, per_address=0)


def _crowded(folder: Path, limits: QueueLimits, sessions: int) -> None:
    store = JobStore(folder, limits)
    desk = Desk(store, Supervisor(store, (sys.executable, "-c", "input()")), served=folder)
    keys = [desk.session(None) for _ in range(sessions)]
    for number in range(9):
        store.submit(CHAIR, keys[number % sessions], caller="1.2.3.4")


REFUSALS: dict[str, Callable[[Path], object]] = {
    "one field": lambda folder: GenerationRequest(
        prompt="a mug", clip="0" * 64, clip_fov_deg=200.0, num_frames=24
    ),
    "too many lines": lambda folder: read_requests("a\nb\nc", 0, "4", *DEFAULTS[3:]),
    "too much memory": lambda folder: check_memory(CHAIR, 2.0**30),
    "mine": lambda folder: _crowded(folder, FEW, 1),
    "everyone's": lambda folder: _crowded(folder, QueueLimits(per_session=9, in_all=2), 3),
    "within the hour": lambda folder: _crowded(folder, QueueLimits(per_session=9, per_hour=2), 1),
    "one address": lambda folder: _crowded(
        folder, QueueLimits(per_session=9, per_hour=9, per_address=2), 3
    ),
    "one address within the hour": lambda folder: _crowded(
        folder, QueueLimits(per_session=9, per_hour=9, per_address=9, per_address_hour=2), 3
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_a_refusal_is_in_the_visitors_language(tmp_path: Path, what: str) -> None:
    with pytest.raises(RequestError) as refused:
        REFUSALS[what](tmp_path)
    english, chinese = sentence(str(refused.value)), sentence(str(refused.value), "zh")
    assert "clip_fov_deg" not in english + chinese
    assert not re.search(r"[A-Za-z]{4,}", chinese), chinese
    # The numbers are what the visitor needs.
    assert set(re.findall(r"\d+", chinese)) <= set(re.findall(r"\d+", english))
    assert re.search(r"\d", chinese)


@pytest.mark.parametrize("apology", [APOLOGY, BROKEN, UNWRITTEN, LOST_MESSAGE])
def test_so_is_an_apology(apology: str) -> None:
    assert sentence(apology) == apology
    assert not re.search(r"[A-Za-z]", sentence(apology, "zh"))
