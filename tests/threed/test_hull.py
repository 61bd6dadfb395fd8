import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from threed.cameras import Cameras, camera_rays, orbit_cameras, project
from threed.errors import ReconstructionError
from threed.hull import (
    HullConfig,
    close_border,
    distance_to_surface,
    finer,
    hull_field,
    redistance,
    search_box,
)
from threed.orbit import OrbitVideo


def sphere_orbit(
    radius: float = 0.5,
    *,
    size: int = 48,
    scale: float = 1.0,
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> OrbitVideo:
    """Return exact mattes and normals of a sphere seen from all around and above and below."""
    elevation = 0.9 * torch.sin(torch.arange(12) * 1.3)
    cameras = orbit_cameras(12, size=size, elevation=elevation)
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] = c2w[:, :3, 3] * scale + torch.tensor(shift)
    cameras = Cameras(c2w=c2w, fov_y=cameras.fov_y, width=size, height=size)
    origins, directions = camera_rays(cameras)
    centre = torch.tensor(shift)
    along = ((centre - origins) * directions).sum(dim=-1)
    miss = (origins + along[..., None] * directions - centre).norm(dim=-1)
    reach = radius * scale
    pixel = along / cameras.focal[:, None, None]
    alpha = (0.5 + (reach - miss) / pixel).clamp(0, 1)
    depth = along - (reach**2 - miss**2).clamp(min=0).sqrt()
    normal = (origins + depth[..., None] * directions - centre) / reach
    normal = torch.nn.functional.normalize(normal, dim=-1)
    return OrbitVideo(
        albedo=alpha[..., None] * (0.5 + 0.4 * normal),
        alpha=alpha,
        normals=alpha[..., None] * normal,
        cameras=cameras,
    )


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_hull_of_a_sphere_holds_it_and_little_more() -> None:
    field = hull_field(sphere_orbit(), HullConfig(outliers=0.0), generator())
    direction = torch.nn.functional.normalize(torch.randn(400, 3, generator=generator()), dim=-1)
    distance = field.signed_distance(0.5 * direction)
    pixel = 3.2 / float(sphere_orbit().cameras.focal[0])
    assert distance.max() < pixel
    assert distance.mean() > -2.5 * pixel


@pytest.mark.parametrize("scale", [1e-2, 1.0, 40.0])
def test_hull_follows_the_scene_through_any_scale_and_shift(scale: float) -> None:
    shift = (7.0 * scale, -3.0 * scale, 2.0 * scale)
    plain = hull_field(sphere_orbit(), HullConfig(), generator())
    moved = hull_field(sphere_orbit(scale=scale, shift=shift), HullConfig(), generator())
    expected = plain.bounds * scale + torch.tensor(shift)
    assert_close(moved.bounds, expected, atol=0.06 * scale, rtol=0)


@pytest.mark.parametrize(("size", "growth"), [(64, 1.0), (160, 1.5625), (256, 3.0), (320, 3.0)])
def test_larger_frames_may_have_more_vertices_but_never_more_than_allowed(
    size: int, growth: float
) -> None:
    config = HullConfig(max_vertices=20_000)
    field = hull_field(sphere_orbit(0.8, size=size), config, generator())
    # The box is measured before its margin of empty voxels is added.
    inner = np.prod([count - 2 * config.margin for count in field.config.resolution])
    assert inner / (growth * config.max_vertices) == pytest.approx(1, abs=0.25)


def test_one_bad_matte_of_many_does_not_carve_the_object() -> None:
    orbit = sphere_orbit()
    alpha = orbit.alpha.clone()
    alpha[3] = 0
    alpha[3, 0, 0] = 1
    broken = OrbitVideo(albedo=orbit.albedo, alpha=alpha, normals=None, cameras=orbit.cameras)
    field = hull_field(broken, HullConfig(outliers=0.1), generator())
    assert float(field.signed_distance(torch.zeros(1, 3)).detach()) < -0.2


def test_space_that_no_view_or_a_single_view_sees_stays_empty() -> None:
    field = hull_field(sphere_orbit(), HullConfig(outliers=0.1), generator())
    assert bool((field.bounds.abs() < 0.62).all())


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_mattes_that_say_nothing_are_refused_with_advice(value: float) -> None:
    orbit = sphere_orbit()
    alpha = torch.full_like(orbit.alpha, value)
    empty = OrbitVideo(albedo=orbit.albedo, alpha=alpha, normals=None, cameras=orbit.cameras)
    with pytest.raises(ReconstructionError, match="try|give"):
        hull_field(empty, HullConfig(), generator())


def test_mattes_that_contradict_each_other_are_refused() -> None:
    orbit = sphere_orbit()
    alpha = torch.zeros_like(orbit.alpha)
    alpha[::2, :10, :10] = 1
    alpha[1::2, -10:, -10:] = 1
    torn = OrbitVideo(albedo=orbit.albedo, alpha=alpha, normals=None, cameras=orbit.cameras)
    with pytest.raises(ReconstructionError, match="no shape"):
        hull_field(torn, HullConfig(), generator())


def test_search_box_holds_the_object() -> None:
    lower, upper = search_box(sphere_orbit(shift=(4.0, 5.0, 6.0)))
    centre = torch.tensor([4.0, 5.0, 6.0])
    assert (lower < centre - 0.5).all() and (upper > centre + 0.5).all()


def slab(thickness: int) -> torch.Tensor:
    inside = torch.zeros(20, 20, 20, dtype=torch.bool)
    inside[8 : 8 + thickness, 3:17, 3:17] = True
    return inside


@pytest.mark.parametrize("thickness", [1, 2, 6])
def test_distance_keeps_every_vertex_on_its_side_however_thin(thickness: int) -> None:
    inside = slab(thickness)
    assert torch.equal(distance_to_surface(inside) < 0, inside)


def test_redistance_keeps_the_surface_and_restores_the_slope() -> None:
    z, y, x = torch.meshgrid(*(torch.arange(32.0) - 15.5,) * 3, indexing="ij")
    exact = torch.stack([x, y, z]).norm(dim=0) - 9
    # A distance whose far values have gone stale, as those that no ray passes do.
    stale = torch.where(exact.abs() < 1.5, exact, 1.5 * exact.sign())
    mended = redistance(stale)
    assert torch.equal(mended < 0, exact < 0)
    near = exact.abs() < 6
    assert float((mended - exact)[near].abs().max()) < 1.0


def test_closed_border_leaves_the_inside_alone() -> None:
    closed = close_border(torch.full((5, 6, 7), -2.0))
    assert bool((closed[1:-1, 1:-1, 1:-1] == -2).all())
    assert int((closed > 0).sum()) == 5 * 6 * 7 - 3 * 4 * 5


@pytest.mark.parametrize("field", ["threshold", "outliers", "voxels_a_pixel"])
def test_impossible_settings_are_named(field: str) -> None:
    with pytest.raises(ValueError, match=field):
        HullConfig(**{field: -1.0})


def test_distance_of_a_half_space_is_exact_between_vertices() -> None:
    inside = torch.zeros(24, 12, 12, dtype=torch.bool)
    inside[:12] = True
    distance = distance_to_surface(inside)[:, 6, 6].numpy()
    np.testing.assert_allclose(distance[6:18], np.arange(6, 18) - 11.5, atol=0.35)
    assert math.isclose(float(distance[11] + distance[12]), 0.0, abs_tol=0.05)


def with_rod(orbit: OrbitVideo, x: float, z: float, radius: float, top: float) -> OrbitVideo:
    """Return the mattes of the video's object and an upright rod from the equator to `top`."""
    points = torch.stack(
        [torch.full((200,), x), torch.linspace(0, top, 200), torch.full((200,), z)], dim=-1
    )
    pixel, depth = project(points, orbit.cameras)
    place = torch.stack(
        torch.meshgrid(*(torch.arange(n) + 0.5 for n in orbit.alpha.shape[:0:-1]), indexing="xy"),
        dim=-1,
    )
    alpha = orbit.alpha.clone()
    for view in range(orbit.num_frames):
        gap = (place[..., None, :] - pixel[view]).norm(dim=-1)
        reach = radius * orbit.cameras.focal[view] / depth[view]
        rod = (gap.sub(reach).amin(dim=-1) * -1 + 0.5).clamp(0, 1)
        alpha[view] = torch.maximum(alpha[view], rod)
    return replace(orbit, alpha=alpha, albedo=torch.zeros_like(orbit.albedo))


def test_finer_voxels_keep_surface_and_colour_and_regain_a_rod_that_coarse_ones_lost() -> None:
    orbit = sphere_orbit(size=48)
    coarse = hull_field(orbit, HullConfig(), generator(), coarseness=4)
    # Half way between the coarse vertices, where none of them touches it.
    x, _, z = (
        coarse.lower + (((-coarse.lower) / coarse.voxel).round() + 0.5) * coarse.voxel
    ).tolist()
    rod = with_rod(orbit, x, z, radius=0.045, top=0.75)
    fine = finer(coarse, rod, HullConfig(outliers=0.0))
    assert_close(fine.voxel, coarse.voxel / 2)
    assert_close(fine.box, coarse.box)
    direction = torch.nn.functional.normalize(torch.randn(300, 3, generator=generator()), dim=-1)
    points = 0.5 * direction[direction[:, 1] < 0.5]
    same = fine.signed_distance(points) - coarse.signed_distance(points)
    assert float(same.abs().max()) < 0.3 * float(coarse.voxel)
    assert_close(fine.albedo(points), coarse.albedo(points))
    on_rod = torch.tensor([[x, y, z] for y in (0.55, 0.6, 0.65, 0.7)])
    assert float(coarse.signed_distance(on_rod)[-1]) > 0
    assert float(fine.signed_distance(on_rod).max()) < 0
