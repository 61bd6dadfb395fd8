"""What a clip's source does with cameras that only the object's texture tells."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from tests.threed.test_feature_poses import GUESS, film, straight
from threed.errors import NoTurnError
from threed.feature_poses import place_steps, poses_of
from threed.poses import MOST_MISFIT
from threed.progress import Progress, finish
from threed.source import SourceConfig, _placed, orbit_of_turn


def film_with_a_waving_plate() -> torch.Tensor:
    """The balls by hand, and behind them a grey plate now left, now right.

    COLMAP sees alpha over just that grey, so that the plate does not disturb it.
    """
    _, frames = film(24)
    height, width = frames.shape[1:3]
    rows = (torch.arange(height) + 0.5 - height / 2)[:, None]
    columns = (torch.arange(width) + 0.5 - width / 2)[None]
    waving = torch.tensor([1.0, -1.0]).repeat(len(frames) // 2)[:, None, None]
    plate = (rows.abs() < 50) & (columns.abs() < 70) & (columns * waving > 0)
    grey = torch.tensor([0.5, 0.5, 0.5, 1.0])
    return frames + (1 - frames[..., 3:]) * plate[..., None] * grey


@pytest.mark.slow
def test_what_texture_places_but_no_one_object_explains_is_refused() -> None:
    pytest.importorskip("pycolmap")
    frames = film_with_a_waving_plate()
    placed = finish(place_steps(frames.numpy(), GUESS, fov_known=False))
    poses = poses_of(placed, frames, 2 * torch.tensor(0.5 * 144 / placed.focal).atan().item())
    assert len(placed.frames) == 24 and poses.misfit > MOST_MISFIT
    with pytest.raises(NoTurnError, match="do not agree with a turn.*not agree with one object"):
        orbit_of_turn(straight(frames), SourceConfig(size=64))


def test_a_search_is_told_of_and_left_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is over then, and its folder gone."""
    pytest.importorskip("pycolmap")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    # So many frames take seconds, however fast the machine.
    steps = _placed(film(48)[1].numpy(), GUESS, False)
    start = time.monotonic()
    for _ in range(2):
        step = next(steps)
        assert isinstance(step, Progress) and "texture" in step.message
    assert time.monotonic() - start < 2
    assert list(tmp_path.glob("lathe-colmap-*"))
    steps.close()
    assert time.monotonic() - start < 2 and not list(tmp_path.iterdir())


@pytest.mark.alone
def test_a_program_that_ends_does_not_wait_for_a_search_and_leaves_none(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    program = """
import threed.feature_poses, sys
from tests.threed.test_feature_poses import GUESS, film
from threed.source import _placed
steps = _placed(film(48)[1].numpy(), GUESS, False)
while not list(__import__("pathlib").Path(sys.argv[1]).glob("*/database.db")):
    next(steps)
steps.close()
print("left", flush=True)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stdout.readline() == "left\n"
        assert process.wait(timeout=2) == 0
    deadline = time.monotonic() + 2
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(tmp_path.iterdir())
