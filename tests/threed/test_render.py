import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from tests.threed.test_field import CENTRE, sphere_field
from threed.cameras import Cameras, look_at_origin
from threed.field import Field
from threed.render import (
    SHARPNESS_A_PIXEL,
    pixel_sharpness,
    render_views,
    sum_over_rays,
    surface_points,
    surface_weights,
)
from threed.sampling import RaySamples, march


def one_ray(num_samples: int) -> RaySamples:
    joined = torch.ones(num_samples, dtype=torch.bool)
    joined[-1] = False
    return RaySamples(
        points=torch.zeros(num_samples, 3),
        ray=torch.zeros(num_samples, dtype=torch.long),
        joined=joined,
        starts=torch.tensor([0, num_samples]),
    )


def views_of_the_sphere(count: int = 3, size: int = 40, distance: float = 3.0) -> Cameras:
    azimuth = torch.arange(count) * 2.0
    c2w = look_at_origin(azimuth, 0.5 * azimuth.sin(), torch.full((count,), distance))
    c2w[:, :3, 3] += CENTRE
    fov = torch.full((count,), math.radians(32))
    return Cameras(c2w=c2w, fov_y=fov, width=size, height=size)


@pytest.mark.parametrize("miss", [-0.7, -0.1, 0.0, 0.3, 1.5])
@pytest.mark.parametrize("num_samples", [61, 2001])
def test_a_ray_that_misses_by_d_accumulates_the_logistic_of_d(
    miss: float, num_samples: int
) -> None:
    """A distance that falls to `miss` and grows again: what is behind the low point adds none."""
    along = torch.linspace(-30, 30, num_samples, dtype=torch.float64)
    distance = along.abs() + miss
    weights = surface_weights(distance, one_ray(num_samples), 3.0)
    assert_close(weights.sum(), torch.sigmoid(weights.new_tensor(-3.0 * miss)))


def test_weights_lie_where_the_distance_crosses_zero() -> None:
    """NeuS is unbiased: the mean depth of a slanted wall is the wall's, at any sharpness."""
    along = torch.linspace(0, 20, 4001, dtype=torch.float64)
    for sharpness in (2.0, 8.0):
        weights = surface_weights((9.3 - along) * 0.7, one_ray(4001), sharpness)
        middle = along + 0.5 * 20 / 4000
        assert_close((weights * middle).sum(), along.new_tensor(9.3), atol=0.01, rtol=0)


def test_rays_do_not_hide_each_other() -> None:
    distance = torch.tensor([2.0, -2.0, -9.0, 1.0, 0.5, -3.0, 4.0, 3.0])
    joined = torch.tensor([1, 1, 0, 1, 1, 0, 1, 0]).bool()
    ray = torch.tensor([0, 0, 0, 2, 2, 2, 3, 3])
    starts = torch.tensor([0, 3, 3, 6, 8])
    samples = RaySamples(points=torch.zeros(8, 3), ray=ray, joined=joined, starts=starts)
    together = surface_weights(distance, samples, 1.3)
    for rows in (slice(0, 3), slice(3, 6), slice(6, 8)):
        alone = surface_weights(distance[rows], one_ray(rows.stop - rows.start), 1.3)
        assert_close(together[rows], alone)
    total = sum_over_rays(together[:, None], samples)[:, 0]
    slow = torch.zeros(4).index_add_(0, ray, together)
    assert_close(total, slow)


@pytest.mark.parametrize("scale", [1e-10, 1.0, 1e4, 1e20])
def test_gradients_stay_finite_at_extreme_distances(scale: float) -> None:
    distance = (scale * torch.linspace(1, -1, 9)).requires_grad_()
    weights = surface_weights(distance, one_ray(9), 5.0)
    weights.square().sum().backward()
    assert distance.grad is not None and distance.grad.isfinite().all()
    assert weights.isfinite().all()


def test_gradient_of_a_sum_over_rays_is_one_everywhere() -> None:
    samples = march(
        sphere_field(),
        CENTRE + torch.tensor([[0.0, 0.0, 3.0]]),
        torch.tensor([[0.0, 0.0, -1.0]]),
        band=3.0,
        step=0.5,
        generator=None,
    )
    values = torch.randn(len(samples), 2, requires_grad=True)
    sum_over_rays(values, samples).sum().backward()
    assert_close(values.grad, torch.ones_like(values))


def test_sharpness_is_the_nearest_logistic_to_a_pixels_coverage() -> None:
    offset = np.linspace(-3, 3, 2001)
    best = []
    for angle in np.radians([0, 15, 30, 45]):
        x, y = np.meshgrid(*(np.linspace(-0.5, 0.5, 101),) * 2)
        place = np.sort((abs(np.cos(angle)) * x + abs(np.sin(angle)) * y).ravel())
        covered = np.searchsorted(place, offset) / len(place)
        slopes = np.arange(3, 9, 0.1)
        errors = [((1 / (1 + np.exp(-s * offset)) - covered) ** 2).mean() for s in slopes]
        best.append(slopes[int(np.argmin(errors))])
    assert abs(np.mean(best) - SHARPNESS_A_PIXEL) < 0.2


def test_a_sphere_looks_like_a_sphere() -> None:
    field, cameras = sphere_field(), views_of_the_sphere()
    seen = render_views(field, cameras)
    # Solid angle in pixels of a sphere of radius r at distance d: the cone's section, pi (f tan)^2.
    tangent = 0.6 / math.sqrt(3.0**2 - 0.6**2)
    area = math.pi * (float(cameras.focal[0]) * tangent) ** 2
    assert_close(seen.alpha.sum(dim=(1, 2)), torch.full((3,), area), rtol=0.03, atol=0)
    assert seen.normals is not None
    centre = seen.normals[:, 19:21, 19:21].mean(dim=(1, 2))
    back = F.normalize(cameras.c2w[:, :3, 3] - CENTRE, dim=-1)
    assert_close(centre, back, atol=0.02, rtol=0)
    solid = seen.alpha > 0.1
    colour = seen.albedo[solid] / seen.alpha[solid][:, None]
    assert_close(colour, colour.new_tensor([0.2, 0.5, 0.7]).expand_as(colour), atol=0.02, rtol=0)


def test_surface_points_lie_on_the_surface_and_face_the_camera() -> None:
    cameras = views_of_the_sphere()
    seen = surface_points(sphere_field(), cameras)
    away = (seen.points - CENTRE).norm(dim=-1)
    # The limb's rays average over the whole turn of the surface.
    frontal = seen.hit & (seen.facing > 0.3)
    assert_close(away[frontal], torch.full_like(away[frontal], 0.6), atol=0.02, rtol=0)
    assert float(seen.facing[:, 19:21, 19:21].min()) > 0.98


def test_empty_field_renders_nothing() -> None:
    field = sphere_field()
    with torch.no_grad():
        field.distance.fill_(5.0)
    seen = render_views(field, views_of_the_sphere(1))
    assert float(seen.alpha.max()) == 0


def test_sharpness_follows_the_pixels() -> None:
    field: Field = sphere_field()
    small, large = views_of_the_sphere(size=20), views_of_the_sphere(size=80)
    ratio = pixel_sharpness(field, large) / pixel_sharpness(field, small)
    assert math.isclose(ratio, 4.0, rel_tol=1e-4)
