"""Laws of the flow's algebra, the schedules and the samplers."""

import pytest
import torch
from torch.testing import assert_close

from pipelines.video.diffusion import (
    add_noise,
    denoised,
    guide,
    velocity_from_denoised,
    velocity_target,
)
from pipelines.video.samplers import FlowStep, sample_euler, sample_heun
from pipelines.video.schedules import shifted_sigmas


def _pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)
    return clean, torch.randn(4, 3, 2, generator=generator, dtype=torch.float64)


def test_velocity_and_clean_estimate_are_inverse() -> None:
    clean, noise = _pair()
    sigma = torch.tensor([0.1, 0.4, 0.9, 1.0], dtype=torch.float64)
    x = add_noise(clean, noise, sigma)
    assert_close(denoised(x, velocity_target(clean, noise), sigma), clean)
    assert_close(velocity_from_denoised(x, clean, sigma), noise - clean)


def test_the_ends_of_the_path_are_clean_and_noise() -> None:
    clean, noise = _pair()
    assert_close(add_noise(clean, noise, torch.zeros(4, dtype=torch.float64)), clean)
    assert_close(add_noise(clean, noise, torch.ones(4, dtype=torch.float64)), noise)


def test_guidance_of_one_is_the_conditional_prediction_and_zero_the_unconditional() -> None:
    cond, uncond = _pair()
    assert_close(guide(cond, uncond, 1.0), cond)
    assert_close(guide(cond, uncond, 0.0), uncond)
    assert_close(guide(cond, uncond, 3.0) - uncond, 3 * (cond - uncond))


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("start", [0.3, 1.0])
def test_schedules_fall_from_start_to_zero(shift: float, start: float) -> None:
    sigmas = shifted_sigmas(7, shift=shift, start=start)
    assert_close(sigmas[0], torch.tensor(start))
    assert sigmas[-1] == 0 and bool((sigmas.diff() < 0).all()) and len(sigmas) == 8


@pytest.mark.parametrize("start", [0.0, -0.1, 1.1])
def test_a_start_that_is_no_noise_level_is_refused(start: float) -> None:
    with pytest.raises(ValueError, match="start"):
        shifted_sigmas(4, start=start)


def _gaussian_error(sampler: object, num_steps: int) -> float:
    """Return the end's error for data N(0, s^2), where the flow is known in closed form.

    At sigma the marginal is N(0, v) with v = ((1-sigma) s)^2 + sigma^2; the flow scales x by the
    ratio of standard deviations, and velocity = (sigma - (1-sigma) s^2) / v * x.
    """
    spread = 0.3

    def velocity(x: torch.Tensor, sigma: float) -> torch.Tensor:
        variance = ((1 - sigma) * spread) ** 2 + sigma**2
        return (sigma - (1 - sigma) * spread**2) / variance * x

    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[None]
    steps = sampler(velocity, noise, shifted_sigmas(num_steps).double())  # type: ignore[operator]
    *_, last = steps
    assert isinstance(last, FlowStep) and last.sigma == 0
    return float((last.x - spread * noise).abs().max())


def test_eulers_error_halves_and_heuns_quarters_with_the_step() -> None:
    euler = [_gaussian_error(sample_euler, n) for n in (64, 128)]
    heun = [_gaussian_error(sample_heun, n) for n in (64, 128)]
    assert euler[0] / euler[1] == pytest.approx(2, rel=0.1)
    assert heun[0] / heun[1] == pytest.approx(4, rel=0.25)
    assert heun[1] < euler[1] / 10


def test_a_straight_flow_needs_one_step_and_reports_its_clean_end() -> None:
    clean, noise = _pair()

    def velocity(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return noise - clean

    steps = list(sample_euler(velocity, noise, torch.tensor([1.0, 0.6, 0.0], dtype=torch.float64)))
    assert_close(steps[-1].x, clean)
    for step in steps:
        assert_close(step.denoised, clean)
