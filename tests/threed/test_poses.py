import math
import time

import pytest
import torch

from tests.threed.balls import BALLS, balls, turn
from threed.agreement import misfit
from threed.cameras import camera_angles, camera_rays, orbit_cameras, project
from threed.errors import RequestError
from threed.poses import PoseConfig, find_orbit, orbit_steps
from threed.progress import Progress


def find(frames: torch.Tensor, **config: float):
    return find_orbit(frames, math.radians(40.0), PoseConfig(**config))


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("elevation", [0.0, 30.0])
def test_direction_and_elevation_are_found(way: int, elevation: float) -> None:
    frames = turn(elevation_deg=elevation)
    poses = find(frames if way > 0 else frames.flip(0))
    assert poses.counter_clockwise == (way > 0) and abs(poses.num_turns - 1) < 0.01
    assert abs(poses.elevation_deg - elevation) <= 2.0
    azimuth, _, _ = camera_angles(poses.cameras)
    step = torch.remainder(azimuth.diff() * way, 2 * math.pi)
    torch.testing.assert_close(step, torch.full_like(step, 2 * math.pi / 16), atol=2e-3, rtol=0)


def test_the_object_lies_in_the_unit_sphere_and_touches_it_nearly() -> None:
    """Every silhouette pixel's ray passes the origin within 1, the widest not far within."""
    frames = turn()
    poses = find(frames, elevation_deg=15.0)
    origins, directions = camera_rays(poses.cameras)
    closest = torch.linalg.cross(origins, directions).norm(dim=-1)[frames[..., 3] > 0.5]
    assert 0.9 < float(closest.max()) <= 1.0


def test_an_axis_beside_the_middle_is_seen_to_be_there() -> None:
    """Cameras that look past the object get poses that do: the origin falls on the axis."""
    frames = torch.zeros(16, 80, 110, 4)
    frames[:, 16:, 40:104] = turn(elevation_deg=0.0)
    poses = find_orbit(frames, math.radians(48.0), PoseConfig(elevation_deg=0.0))
    place, depth = project(torch.zeros(1, 3), poses.cameras)
    assert bool((depth > 0).all())
    torch.testing.assert_close(place[:, 0, 0], torch.full((16,), 72.0), atol=1.5, rtol=0)
    rotation = poses.cameras.c2w[:, :3, :3]
    torch.testing.assert_close(
        rotation @ rotation.mT, torch.eye(3).expand(16, 3, 3), atol=1e-5, rtol=0
    )
    assert float(rotation[:, 1, 0].abs().max()) < 0.01, "the cameras stand upright"


def test_repetition_and_pauses_are_dropped() -> None:
    frames = turn()
    held = torch.cat([frames[:1].repeat(3, 1, 1, 1), frames[1:], frames[:1]])
    poses = find(held, elevation_deg=15.0)
    assert poses.kept == [0, *range(3, 18)] and abs(poses.num_turns - 1) < 0.01


def test_two_turns_are_counted() -> None:
    poses = find(turn(12).repeat(2, 1, 1, 1), elevation_deg=15.0)
    assert abs(poses.num_turns - 2) < 0.02 and poses.counter_clockwise


def test_the_search_tells_how_far_it_is_and_finds_the_same() -> None:
    """Its records come one upon the other, with a share that grows and no long stretch between."""
    frames = turn()
    steps = orbit_steps(frames, math.radians(40.0), PoseConfig())
    records: list[Progress] = []
    stretches, start = [], time.thread_time()
    while True:
        try:
            records.append(next(steps))
        except StopIteration as finished:
            poses = finished.value
            break
        stretches.append(time.thread_time() - start)
        start = time.thread_time()
    assert len(records) > 20 and max(stretches) < 0.2 * sum(stretches)
    shares = [record.step / record.num_steps for record in records]
    assert shares[0] == 0.0 and shares == sorted(shares) and 0.3 < shares[-1] <= 1.0
    assert {(record.stage, record.message) for record in records} == {
        ("video", "looking for the cameras that the frames agree with")
    }
    torch.testing.assert_close(poses.cameras.c2w, find(frames).cameras.c2w, atol=0, rtol=0)


@pytest.mark.parametrize("num_told", [1, 5, 30])
def test_a_search_that_is_left_works_no_further(num_told: int) -> None:
    steps = orbit_steps(turn(), math.radians(40.0), PoseConfig())
    for _ in range(num_told):
        next(steps)
    start = time.thread_time()
    steps.close()
    assert time.thread_time() - start < 0.1
    assert next(steps, None) is None


def test_true_cameras_fit_better_than_all_others() -> None:
    frames = turn()
    true = orbit_cameras(16, size=64)
    others = [
        orbit_cameras(16, size=64, elevation=math.radians(30.0)),
        true[list(range(15, -1, -1))],
        true[torch.randperm(16, generator=torch.Generator().manual_seed(0))],
    ]
    assert misfit(frames, true) < 0.8 * min(misfit(frames, other) for other in others)


def test_what_is_no_turn_is_refused() -> None:
    frames = turn()
    other = BALLS.clone()
    other[:, :3] = BALLS[:, [1, 2, 0]] * torch.tensor([1.6, -0.6, 0.3])
    other[:, 3] *= 0.6
    foreign = balls(orbit_cameras(16, size=64, elevation=0.6), other)
    with pytest.raises(RequestError, match="2 different"):
        find(frames[:2])
    with pytest.raises(RequestError, match="same"):
        find(frames[:1].repeat(12, 1, 1, 1))
    with pytest.raises(RequestError, match="does not end"):
        find(turn(30)[:14])
    with pytest.raises(RequestError, match="agree|jumps|end"):
        find(torch.cat([frames[:8], foreign[8:]]))


@pytest.mark.parametrize(
    "config", [{"elevation_deg": 85.0}, {"fov_deg": 0.0}, {"fov_deg": math.nan}]
)
def test_impossible_settings_are_refused(config: dict[str, float]) -> None:
    with pytest.raises(RequestError, match="can be"):
        PoseConfig(**config)


def test_a_clip_that_is_hardly_there_is_refused() -> None:
    with pytest.raises(RequestError, match="transparent"):
        find(0.4 * turn(), elevation_deg=15.0)
