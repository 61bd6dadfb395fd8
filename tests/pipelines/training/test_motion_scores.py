"""Laws of the scores of what moves."""

import pytest
import torch

from pipelines.motions import find_motion
from pipelines.training.motion_scores import (
    ALIKE,
    SHOWN,
    ball_alpha,
    ball_track,
    motion_shown,
    outline_track,
)
from pipelines.training.prompts import FILMED, MOVING, TURNING
from pipelines.video.camera_paths import path_cameras


@pytest.mark.parametrize("motion", SHOWN)
def test_a_small_thing_off_the_middle_is_known_by_how_it_moves(motion: str) -> None:
    track = ball_track(motion)
    generator = torch.Generator().manual_seed(0)
    moved = track * torch.tensor([0.8, 0.8, 0.9]) + torch.tensor([0.1, -0.15, 0.0])
    shaken = moved + 0.02 * torch.randn(track.shape, generator=generator)
    assert motion_shown(shaken) == motion


def test_rolling_is_passing_and_turning_on_the_spot_is_standing_still() -> None:
    assert motion_shown(ball_track("roll")) == ALIKE["roll"]
    assert motion_shown(ball_track("spin")) == "still"


def test_an_outline_has_its_middle_and_size_and_none_where_it_is_not_seen() -> None:
    alpha = torch.zeros(2, 40, 40)
    alpha[0, :10, 30:] = 1
    track = outline_track(alpha)
    assert track[0].tolist() == pytest.approx([0.77, 0.77, 0.25], abs=0.02)
    assert bool(track[1, :2].isnan().all()) and float(track[1, 2]) == 0


def test_a_ball_grows_as_the_lens_says() -> None:
    size = outline_track(ball_alpha(path_cameras("zoom-in", 8, size=64, elevation=0.2), 0.5))[:, 2]
    assert bool((size.diff() > 0).all())


def test_the_prompts_ask_for_what_they_stand_for() -> None:
    for prompt, wanted in MOVING.items():
        found = find_motion(prompt)
        assert found is not None and found[0].name == wanted, prompt
        assert ALIKE.get(wanted, wanted) in SHOWN
    for prompt in TURNING:
        found = find_motion(prompt)
        assert found is not None and found[0].name in ("spin", "tumble", "shake")
    assert not any(find_motion(prompt) for prompt in FILMED)
