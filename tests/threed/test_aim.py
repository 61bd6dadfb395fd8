import numpy as np
import torch

from threed.aim import meeting_point, seen_at
from threed.cameras import orbit_cameras, project
from threed.resample import Lens


def test_an_orbit_that_was_moved_meets_where_its_centre_was_moved_to() -> None:
    c2w = orbit_cameras(6, size=64, elevation=0.4).c2w.double().numpy()
    c2w[:, :3, 3] += [3.0, -2.0, 1.0]
    np.testing.assert_allclose(meeting_point(c2w), [3.0, -2.0, 1.0], atol=1e-5)


def test_a_point_is_seen_where_it_is_projected_to_and_else_in_the_middle() -> None:
    cameras = orbit_cameras(5, size=64)
    point = torch.tensor([0.3, -0.2, 0.4])
    pixels = project(point[None], cameras)[0]
    focal = float(cameras.focal[0])
    lens = Lens(fl_x=focal, fl_y=focal, cx=32.0, cy=32.0)
    for view, pixel in enumerate(pixels.reshape(-1, 2)):
        place = seen_at(point.double().numpy(), cameras.c2w[view].double().numpy(), lens, 64, 64)
        np.testing.assert_allclose(place, pixel.numpy() / 64, atol=1e-5)
    behind = cameras.c2w[0, :3, 3].double().numpy() * 2
    assert seen_at(behind, cameras.c2w[0].double().numpy(), lens, 64, 64) == (0.5, 0.5)
