"""What a large model drew, as an orbit."""

import dataclasses

import numpy as np
import torch
from torch.testing import assert_close

from pipelines.models.turntable import BACKGROUND, found_orbit, framed, known_orbit, matted
from tests.pipelines.sphere_model import draw_sphere
from threed.cameras import camera_rays, orbit_cameras
from threed.orbit import OrbitVideo
from threed.progress import finish


def ball_picture() -> np.ndarray:
    orbit = draw_sphere(orbit_cameras(1, size=96), torch.tensor([0.8, 0.3, 0.1]))
    grey = orbit.albedo + BACKGROUND * (1 - orbit.alpha[..., None])
    return (grey[0] * 255).byte().numpy()


def marked_ball(num_frames: int, size: int) -> OrbitVideo:
    """Return a ball with lobes of colour, whose turns can be told from their pictures."""
    cameras = orbit_cameras(num_frames, size=size)
    orbit = draw_sphere(cameras, torch.tensor([0.6, 0.5, 0.4]))
    assert orbit.normals is not None
    x, y, z = orbit.normals.unbind(-1)
    marks = torch.stack([x > 0.3, z > 0.5, (y > 0.2) & (x < 0)], dim=-1).float()
    albedo = (0.15 + 0.7 * marks) * orbit.alpha[..., None]
    assert camera_rays(cameras)[0].shape[0] == num_frames
    return dataclasses.replace(orbit, albedo=albedo, normals=None)


def _frames(orbit: OrbitVideo) -> np.ndarray:
    grey = orbit.albedo + BACKGROUND * (1 - orbit.alpha[..., None])
    return (grey * 255).round().byte().numpy()


def test_the_clip_whose_frames_agree_is_an_orbit() -> None:
    turn = marked_ball(32, 64).select([*range(32), 0])
    found = finish(found_orbit(_frames(turn), 16, 15.0))
    assert found.orbit.kind == "orbit"
    assert found.orbit.num_frames == 16
    # The same frames in another order are no turn, and agree far less.
    shuffled = _frames(turn)[np.random.default_rng(0).permutation(33)]
    worse = finish(found_orbit(shuffled, 16, 15.0))
    assert worse.misfit > 3 * found.misfit


def test_frames_for_known_cameras_keep_them_unless_they_disagree() -> None:
    ball = marked_ball(12, 64)
    good = known_orbit(_frames(ball), ball.cameras)
    assert good.orbit.kind == "orbit"
    assert_close(good.orbit.cameras.c2w, ball.cameras.c2w)
    assert_close(good.orbit.alpha, ball.alpha, atol=0.7, rtol=0)


def test_a_first_picture_is_framed_as_an_orbit_is() -> None:
    cameras = orbit_cameras(1, size=64)
    placed = framed(matted(ball_picture()), cameras)[0]
    object_ = (placed - BACKGROUND).abs().amax(dim=-1) > 0.05
    rows, columns = object_.any(dim=1).nonzero()[:, 0], object_.any(dim=0).nonzero()[:, 0]
    for span in (rows, columns):
        assert abs(float(span[0] + span[-1] + 1) / 2 - 32) <= 1.5
