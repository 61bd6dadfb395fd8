"""Cameras brought to agree with outlines, on balls whose cameras are known."""

import math
from dataclasses import replace

import pytest
import torch

from tests.threed.balls import balls
from threed.cameras import Cameras, orbit_cameras
from threed.coherence import Outlines, outlines, shortfall
from threed.pose_refinement import WAVES, Turn, even_freedom, refined, root_shortfall, rotation

COUNT = 12


def true_turn() -> Turn:
    focal = float(orbit_cameras(1, size=64).focal[0])
    angle = 2 * math.pi * (COUNT - 1) / COUNT
    return Turn(
        times=torch.arange(COUNT) / (COUNT - 1),
        shape=torch.tensor([angle, math.radians(15), 0.0, 0.0, 0.0, math.log(focal)]),
        waves=torch.zeros(WAVES, 2),
        motions=torch.zeros(COUNT, 6),
        radius=3.2 / focal,
        width=64,
        height=64,
    )


@pytest.fixture(scope="module")
def lines() -> Outlines:
    return outlines(balls(orbit_cameras(COUNT, size=64))[..., 3], 30)


def moved(cameras: Cameras, motions: torch.Tensor) -> Cameras:
    """Cameras moved in their own axes: turned by the first three numbers, shifted by the rest."""
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] += torch.einsum("vij,vj->vi", c2w[:, :3, :3], motions[:, 3:])
    c2w[:, :3, :3] = c2w[:, :3, :3] @ rotation(motions[:, :3])
    return replace(cameras, c2w=c2w)


def test_a_turn_of_no_deviations_is_the_orbit() -> None:
    torch.testing.assert_close(
        true_turn().cameras().c2w, orbit_cameras(COUNT, size=64).c2w, atol=1e-5, rtol=0
    )


def test_true_cameras_fall_short_of_nothing_and_wrong_ones_do(lines: Outlines) -> None:
    true = orbit_cameras(COUNT, size=64)
    generator = torch.Generator().manual_seed(0)
    shaken = moved(true, 0.02 * torch.randn(COUNT, 6, generator=generator))
    assert root_shortfall(shortfall(lines, true)) < 0.12
    assert root_shortfall(shortfall(lines, shaken)) > 0.4


def test_slopes_are_those_of_small_motions(lines: Outlines) -> None:
    """Most rays' shortfall changes as its slopes say; at corners of an outline it may not."""
    generator = torch.Generator().manual_seed(0)
    wrong = moved(orbit_cameras(COUNT, size=64), 0.02 * torch.randn(COUNT, 6, generator=generator))
    here = shortfall(lines, wrong)
    motions = 4e-4 * torch.randn(COUNT, 6, generator=generator)
    wide = replace(wrong, fov_y=2 * torch.atan(torch.tan(wrong.fov_y / 2) / math.exp(4e-4)))
    for there, expected in (
        (moved(wrong, motions), torch.einsum("psk,psk->p", here.by_pose, motions[here.camera])),
        (wide, 4e-4 * here.by_log_focal),
    ):
        change = shortfall(lines, there).residual - here.residual
        missing = here.residual < -0.3
        error = (change - expected)[missing].abs()
        assert int(missing.sum()) > 50
        assert float(error.median()) < 0.15 * float(expected[missing].abs().median())


@pytest.mark.parametrize(
    "guess", [[0.2, -0.2, 0.0, 0.03, 0.08, 0.0], [0.0, 0.15, 0.0, 0.0, 0.0, 0.25]]
)
def test_angle_elevation_axis_and_lens_are_found(lines: Outlines, guess: list[float]) -> None:
    true = true_turn()
    start = replace(true, shape=true.shape + torch.tensor(guess))
    freedom = replace(even_freedom(fov_told=guess[-1] == 0, elevation_told=False), num_steps=15)
    found, short = refined(start, lines, freedom)
    assert short < 0.12
    torch.testing.assert_close(found.shape, true.shape, atol=0.02, rtol=0)


def test_what_is_told_is_held(lines: Outlines) -> None:
    true = true_turn()
    start = replace(true, shape=true.shape + torch.tensor([0.1, 0.1, 0.0, 0.0, 0.0, 0.1]))
    freedom = even_freedom(fov_told=True, elevation_told=True)
    found, _ = refined(start, lines, replace(freedom, num_steps=3))
    assert torch.equal(found.shape[[1, 2, 5]], start.shape[[1, 2, 5]])


def test_shaken_cameras_are_steadied() -> None:
    """Pictures from shaken cameras agree again once each camera has its own motion."""
    generator = torch.Generator().manual_seed(1)
    shaken = moved(
        orbit_cameras(COUNT, size=64), 0.015 * torch.randn(COUNT, 6, generator=generator)
    )
    lines = outlines(balls(shaken)[..., 3], 30)
    freedom = even_freedom(fov_told=True, elevation_told=False)
    before = root_shortfall(shortfall(lines, true_turn().cameras()))
    _, after = refined(true_turn(), lines, replace(freedom, motion=(0.03, 0.03), num_steps=12))
    assert after < 0.3 * before
