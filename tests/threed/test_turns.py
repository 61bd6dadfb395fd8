"""What a clip's pictures alone say of its turn."""

import math

import pytest
import torch

from tests.threed.balls import turn
from threed.errors import RequestError
from threed.poses import PoseConfig, find_orbit
from threed.turns import check_unbroken


def apart(places: list[float]) -> torch.Tensor:
    """Distances of frames that stand on a line."""
    line = torch.tensor(places)
    return (line[:, None] - line).abs()


@pytest.mark.parametrize("cut", [1, 4, 9])
def test_a_jump_is_named_by_the_frames_beside_it(cut: int) -> None:
    """Frames were left out, so their own numbers are told, and people count from 1."""
    places = [0.02 * index + (0.5 if index >= cut else 0.0) for index in range(10)]
    numbers = [3 * index + 7 for index in range(10)]
    check_unbroken(apart([0.02 * index for index in range(10)]), numbers)
    said = f"jumps between frames {numbers[cut - 1]} and {numbers[cut]}:"
    with pytest.raises(RequestError, match=said):
        check_unbroken(apart(places), numbers)


@pytest.mark.parametrize(
    ("indices", "said"), [(None, "9 and 13"), ([5 * index for index in range(20)], "41 and 61")]
)
def test_a_jump_after_a_pause_is_named_by_the_clips_own_frames(
    indices: list[int] | None, said: str
) -> None:
    """Eight steps, the ninth frame held for three more, and from the 13th on another side."""
    frames = turn(64)
    clip = torch.cat([frames[:9], frames[8:9].repeat(3, 1, 1, 1), frames[36:44]])
    with pytest.raises(RequestError, match=f"jumps between frames {said}:"):
        find_orbit(clip, math.radians(40.0), PoseConfig(), indices)
