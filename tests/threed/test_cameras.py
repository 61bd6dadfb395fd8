"""Laws of the cameras' conventions."""

import math

import pytest
import torch
from torch.testing import assert_close

from threed.cameras import (
    Cameras,
    camera_angles,
    camera_rays,
    look_at_origin,
    orbit_cameras,
    project,
)


@pytest.mark.parametrize("elevation_deg", [-90.0, -30.0, 0.0, 15.0, 89.0, 90.0])
def test_poses_are_rotations_that_look_at_the_origin(elevation_deg: float) -> None:
    cameras = orbit_cameras(7, size=8, elevation=math.radians(elevation_deg), start_azimuth=0.3)
    rotation = cameras.c2w[:, :3, :3]
    assert_close(rotation @ rotation.mT, torch.eye(3).expand(7, 3, 3), atol=1e-6, rtol=0)
    assert_close(torch.linalg.det(rotation), torch.ones(7))
    forward = -rotation[:, :, 2]
    assert_close(cameras.c2w[:, :3, 3] + 3.2 * forward, torch.zeros(7, 3), atol=1e-5, rtol=0)


def test_azimuth_zero_stands_in_front_and_a_quarter_turn_stands_at_plus_x() -> None:
    cameras = orbit_cameras(4, size=8, elevation=0.0, radius=2.0)
    expected = torch.tensor([[0.0, 0, 2], [2, 0, 0], [0, 0, -2], [-2, 0, 0]])
    assert_close(cameras.c2w[:, :3, 3], expected, atol=1e-6, rtol=0)
    # Seen from the front, +x is to the right and +y is up.
    pixels, depth = project(torch.tensor([[0.5, 0.25, 0.0]]), cameras[[0]])
    assert pixels[0, 0, 0] > 4 and pixels[0, 0, 1] < 4
    assert_close(depth[0, 0], torch.tensor(2.0))


def test_angles_come_back() -> None:
    azimuth = torch.tensor([-2.0, 0.1, 3.0])
    elevation = torch.tensor([-0.5, 0.0, 1.0])
    radius = torch.tensor([1.5, 2.0, 9.0])
    c2w = look_at_origin(azimuth, elevation, radius)
    cameras = Cameras(c2w=c2w, fov_y=torch.full((3,), 0.7), width=4, height=4)
    for found, wanted in zip(camera_angles(cameras), (azimuth, elevation, radius), strict=True):
        assert_close(found, wanted)


def test_a_point_on_a_pixels_ray_projects_onto_the_pixels_centre() -> None:
    cameras = Cameras(
        c2w=orbit_cameras(3, size=8, elevation=0.4).c2w,
        fov_y=torch.tensor([0.5, 0.7, 1.2]),
        width=6,
        height=4,
    )
    origins, directions = camera_rays(cameras)
    assert_close(directions.norm(dim=-1), torch.ones(3, 4, 6))
    for view in range(3):
        points = (origins[view] + 2.7 * directions[view]).reshape(-1, 3)
        pixels, _ = project(points, cameras[[view]])
        row, column = torch.meshgrid(torch.arange(4), torch.arange(6), indexing="ij")
        centres = torch.stack([column, row], dim=-1).reshape(-1, 2) + 0.5
        assert_close(pixels[0], centres, atol=1e-4, rtol=0)


@pytest.mark.parametrize("fov_y", [0.0, math.pi, math.nan])
def test_impossible_lenses_are_refused(fov_y: float) -> None:
    with pytest.raises(ValueError, match=r"fov_y|not finite"):
        Cameras(c2w=torch.eye(4)[None], fov_y=torch.tensor([fov_y]), width=4, height=4)
