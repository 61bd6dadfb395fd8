"""Where the cameras of each path stand."""

import math

import pytest
import torch
from torch.testing import assert_close

from pipelines.request import CAMERAS
from pipelines.video.camera_paths import BACKWARDS, MOVES, path_cameras
from threed.cameras import DEFAULT_RADIUS, orbit_cameras

PATHS = [name for name in CAMERAS if name != "auto"]


def test_every_camera_that_may_be_asked_for_has_a_path_and_no_other() -> None:
    assert {*PATHS} == {"orbit", "still", *MOVES, *BACKWARDS}
    with pytest.raises(ValueError, match="camera is 'auto'"):
        path_cameras("auto", 8, size=32, elevation=0.2)


@pytest.mark.parametrize("camera", PATHS)
def test_every_camera_looks_at_the_object(camera: str) -> None:
    cameras = path_cameras(camera, 9, size=32, elevation=0.3)
    position, backwards = cameras.c2w[:, :3, 3], cameras.c2w[:, :3, 2]
    assert len(cameras) == 9
    assert (cameras.width, cameras.height) == (32, 32)
    assert_close(backwards, position / position.norm(dim=-1, keepdim=True))


@pytest.mark.parametrize(("camera", "other"), BACKWARDS.items())
def test_back_is_the_same_way(camera: str, other: str) -> None:
    back = path_cameras(camera, 9, size=32, elevation=0.3)
    there = path_cameras(other, 9, size=32, elevation=0.3)
    assert_close(back.c2w, there.c2w.flip(0))
    assert_close(back.fov_y, there.fov_y.flip(0))


def test_the_orbit_is_the_orbit_and_a_still_camera_its_first() -> None:
    orbit = path_cameras("orbit", 8, size=32, elevation=0.3)
    assert_close(orbit.c2w, orbit_cameras(8, size=32, elevation=0.3).c2w)
    still = path_cameras("still", 8, size=32, elevation=0.3)
    assert_close(still.c2w, orbit.c2w[:1].expand(8, -1, -1))
    assert_close(still.fov_y, orbit.fov_y[:1].expand(8))


def test_a_zoom_changes_the_lens_alone_and_a_dolly_the_distance_alone_by_equal_factors() -> None:
    zoom, dolly = (
        path_cameras(f"{move}-in", 9, size=32, elevation=0.3) for move in ("zoom", "dolly")
    )
    assert_close(zoom.c2w, zoom.c2w[:1].expand(9, -1, -1))
    factors = zoom.focal[1:] / zoom.focal[:-1]
    assert_close(factors, factors[:1].expand(8))
    assert factors[0] > 1
    assert_close(dolly.fov_y, dolly.fov_y[:1].expand(9))
    distance = dolly.c2w[:, :3, 3].norm(dim=-1)
    factors = distance[1:] / distance[:-1]
    assert_close(factors, factors[:1].expand(8))
    assert factors[0] < 1


def test_a_crane_rises_and_an_arc_goes_to_both_sides_of_the_front() -> None:
    crane = path_cameras("crane-up", 9, size=32, elevation=0.3).c2w[:, :3, 3]
    assert bool((crane[1:, 1] > crane[:-1, 1]).all())
    assert_close(crane[:, 0], torch.zeros(9))
    arc = path_cameras("arc", 9, size=32, elevation=0.3).c2w[:, :3, 3]
    assert_close(arc[:, 1], torch.full((9,), DEFAULT_RADIUS * math.sin(0.3)))
    assert_close(arc[:, 0], -arc.flip(0)[:, 0], atol=1e-5, rtol=0.0)
    assert float(arc[4, 2]) == pytest.approx(DEFAULT_RADIUS * math.cos(0.3), rel=1e-5)
