from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.threed.test_hull import sphere_orbit
from threed.adam import BETAS, Adam, spread
from threed.errors import ReconstructionError
from threed.field import Field
from threed.fit import FitConfig, FitStep, fit
from threed.hull import HullConfig, hull_field
from threed.losses import LossConfig, loss_for
from threed.metrics import psnr_in_box
from threed.orbit import OrbitVideo
from threed.render import render_views

QUICK = FitConfig(num_steps=48, rays_a_step=1500, steps_a_march=8, flat_underside=False)


def finish(
    steps: Generator[FitStep, None, Field],
) -> tuple[list[FitStep], Field]:
    records = []
    while True:
        try:
            records.append(next(steps))
        except StopIteration as finished:
            return records, finished.value


def fitted(orbit: OrbitVideo, config: FitConfig = QUICK) -> tuple[list[FitStep], Field]:
    return finish(fit(orbit, config, torch.Generator().manual_seed(0)))


def on_sphere(count: int = 500) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 0.5 * F.normalize(torch.randn(count, 3, generator=generator), dim=-1)


@pytest.fixture(scope="module")
def sphere() -> tuple[list[FitStep], Field]:
    return fitted(sphere_orbit(size=32))


def test_a_sphere_is_found_within_a_fraction_of_a_pixel(
    sphere: tuple[list[FitStep], Field],
) -> None:
    pixel = 3.2 / float(sphere_orbit(size=32).cameras.focal[0])
    distance = sphere[1].signed_distance(on_sphere()).detach()
    assert float(distance.abs().mean()) < 0.15 * pixel
    hull = hull_field(sphere_orbit(size=32), HullConfig(), torch.Generator().manual_seed(0))
    assert distance.abs().mean() < 0.5 * hull.signed_distance(on_sphere()).abs().mean()


def test_fitted_normals_are_the_spheres(sphere: tuple[list[FitStep], Field]) -> None:
    normals = sphere[1].normals(on_sphere())
    assert float((normals * on_sphere() / 0.5).sum(dim=-1).mean()) > 0.995


def test_unseen_views_agree_with_the_truth(sphere: tuple[list[FitStep], Field]) -> None:
    truth = sphere_orbit(size=40)
    unseen = render_views(sphere[1], truth.cameras)
    assert float(psnr_in_box(unseen, truth).min()) > 24


def test_levels_are_shares_of_the_whole() -> None:
    with pytest.raises(ValueError, match="level_shares"):
        FitConfig(level_shares=(0.5, 0.6))


def test_records_count_every_step_once(sphere: tuple[list[FitStep], Field]) -> None:
    records, _ = sphere
    assert [record.step for record in records] == list(range(QUICK.num_steps))
    assert {record.num_steps for record in records} == {QUICK.num_steps}
    assert np.mean([r.loss for r in records[-8:]]) < 0.5 * np.mean([r.loss for r in records[:8]])


def test_same_seed_same_field() -> None:
    config = replace(QUICK, num_steps=4)
    (_, first), (_, second) = (fitted(sphere_orbit(size=24), config) for _ in range(2))
    assert torch.equal(first.distance, second.distance)
    assert torch.equal(first.albedo(on_sphere()), second.albedo(on_sphere()))


def test_scene_far_away_and_tiny_is_fitted_as_well() -> None:
    scale, shift = 0.01, (3.0, -2.0, 5.0)
    orbit = sphere_orbit(size=32, scale=scale, shift=shift)
    _, field = fitted(replace(orbit, normals=None))
    points = scale * on_sphere() + torch.tensor(shift)
    pixel = scale * 3.2 / float(sphere_orbit(size=32).cameras.focal[0])
    assert float(field.signed_distance(points).abs().mean()) < 0.3 * pixel


def test_surface_is_closed_by_an_empty_border(sphere: tuple[list[FitStep], Field]) -> None:
    distance = sphere[1].distance.detach()
    core = torch.zeros_like(distance, dtype=torch.bool)
    core[1:-1, 1:-1, 1:-1] = True
    assert bool((distance[~core] > 0).all())


def test_closing_the_generator_ends_the_work() -> None:
    steps = fit(sphere_orbit(size=24), QUICK, torch.Generator().manual_seed(0))
    next(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
    assert torch.is_grad_enabled()


def test_a_clip_is_declined() -> None:
    clip = replace(sphere_orbit(size=24), kind="clip")
    with pytest.raises(ReconstructionError, match="clip"):
        next(fit(clip, QUICK, torch.Generator()))


@pytest.mark.parametrize("width", [1, 3])
def test_spread_is_two_rounds_of_pooling(width: int) -> None:
    grid = torch.randn(9, 11, 8, generator=torch.Generator().manual_seed(0))
    expected = grid[None, None]
    for _ in range(2):
        expected = F.avg_pool3d(expected, 2 * width + 1, stride=1, padding=width)
    torch.testing.assert_close(spread(grid, width), expected[0, 0])


def test_spread_keeps_the_sum_and_reaches_twice_the_width() -> None:
    grid = torch.zeros(17, 17, 17)
    grid[8, 8, 8] = 1
    smeared = spread(grid, 2)
    assert abs(float(smeared.sum()) - 1) < 1e-5
    assert int((smeared > 0).sum()) == 9**3


def test_adam_steps_along_the_ratio_of_its_two_running_means() -> None:
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(6, 50, generator=generator, dtype=torch.float64)
    parameter = torch.nn.Parameter(torch.zeros(50, dtype=torch.float64))
    ours, expected = Adam([parameter], floor=1e-3), torch.zeros(50, dtype=torch.float64)
    for count in range(1, 7):
        parameter.grad = gradients[count - 1].clone()
        ours.step(0.1)
        ages = torch.arange(count - 1, -1, -1)[:, None]
        past = gradients[:count]
        mean = (BETAS[0] ** ages * past).sum(dim=0) / (BETAS[0] ** ages).sum(dim=0)
        square = (BETAS[1] ** ages * past**2).sum(dim=0) / (BETAS[1] ** ages).sum(dim=0)
        expected -= 0.1 * mean / (square.sqrt() + 1e-3)
        torch.testing.assert_close(parameter.detach(), expected)


@pytest.mark.parametrize("field", ["num_steps", "rays_a_step", "steps_a_march"])
def test_impossible_settings_are_named(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        FitConfig(**{field: 0})


def test_models_frames_are_held_to_less_than_filmed_ones() -> None:
    orbit = sphere_orbit(size=16)
    filmed = replace(orbit, normals=None)
    drawn, seen = loss_for(orbit), loss_for(filmed)
    assert drawn.alpha_weight / drawn.eikonal_weight < seen.alpha_weight / seen.eikonal_weight
    assert drawn.colour_weight / drawn.smooth_weight < seen.colour_weight / seen.smooth_weight


def test_a_weight_of_zero_stays_zero_all_the_way() -> None:
    orbit = replace(sphere_orbit(size=24), normals=None)
    config = replace(QUICK, num_steps=4, loss=replace(LossConfig(), shading_weight=(0.0, 0.0)))
    records, _ = fitted(orbit, config)
    assert all(np.isfinite(record.loss) for record in records)


def test_the_mean_of_the_last_steps_is_nearer_to_the_truth_than_the_last() -> None:
    longer = replace(QUICK, num_steps=160, level_shares=(0.5, 0.5))
    points = on_sphere(3000)
    errors = []
    for share in (0.0, 0.25):
        _, field = fitted(sphere_orbit(size=32), replace(longer, average_share=share))
        errors.append(float(field.signed_distance(points).detach().abs().mean()))
    assert errors[1] < 0.95 * errors[0]


@pytest.mark.parametrize(("shares", "num_steps"), [((0.0, 1.0), 8), ((0.65, 0.35), 1)])
def test_a_level_without_steps_leaves_the_surface_as_it_was(
    shares: tuple[float, float], num_steps: int
) -> None:
    config = replace(QUICK, num_steps=num_steps, level_shares=shares)
    _, field = fitted(sphere_orbit(size=24), config)
    assert float(field.signed_distance(on_sphere()).detach().abs().mean()) < 0.1


def test_what_is_too_dark_to_tell_of_light_is_fitted_without() -> None:
    orbit = sphere_orbit(size=24)
    black = replace(orbit, albedo=torch.zeros_like(orbit.albedo), normals=None)
    records, field = fitted(black, replace(QUICK, num_steps=4))
    assert all(np.isfinite(record.loss) for record in records)
    assert float(field.signed_distance(torch.zeros(1, 3)).detach()) < 0
