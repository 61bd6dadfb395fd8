import math
from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from tests.threed.test_fit import on_sphere
from tests.threed.test_hull import sphere_orbit
from threed.cameras import orbit_cameras
from threed.field import Field, FieldConfig
from threed.hull import HullConfig, hull_field
from threed.orbit import OrbitVideo, shade
from threed.placement import turned_up
from threed.render import render_views, surface_points
from threed.underside import fill_underside, finish_underside, flatten_underside
from threed.upright import Up

HALF, DENT = 0.4, 0.2
VOXEL, COUNT = 0.025, 44
IN_DENT = torch.tensor(list(product((-0.08, 0.08), (-HALF + 0.03, -HALF + 0.1), (-0.08, 0.08))))


def test_underside_that_nobody_saw_becomes_level() -> None:
    """Seen from above alone, a hull ends in a spike; the cut leaves what was seen as it was."""
    orbit = sphere_orbit(size=32)
    above = (orbit.cameras.c2w[:, 1, 3] > 0.3).nonzero()[:, 0].tolist()
    orbit = orbit.select(above)
    field = hull_field(orbit, HullConfig(outliers=0.0), torch.Generator().manual_seed(0))
    before = field.bounds
    flatten_underside(field, surface_points(field, orbit.cameras))
    pixel = 3.2 / float(orbit.cameras.focal[0])
    assert float(field.bounds[0, 1]) > float(before[0, 1]) + 0.5 * pixel
    assert torch.equal(field.bounds[1], before[1])
    upper = on_sphere()[on_sphere()[:, 1] > 0]
    assert float(distance_at(field, upper).detach().max()) < pixel


def test_underside_is_cut_across_the_axis_that_is_up() -> None:
    """Turning the world so that z is up turns the cut with it."""
    orbit = sphere_orbit(size=32)
    orbit = orbit.select((orbit.cameras.c2w[:, 1, 3] > 0.3).nonzero()[:, 0].tolist())
    lowest = []
    for up, axis in (("y", 1), ("z", 2)):
        turned = turned_up(orbit, "y", up)
        field = hull_field(turned, HullConfig(outliers=0.0), torch.Generator().manual_seed(0))
        before = field.bounds
        flatten_underside(field, surface_points(field, turned.cameras), up)
        rise = field.bounds[0] - before[0]
        assert float(rise[axis]) > 0.02 and float(rise.abs().sum() - rise[axis]) == 0
        lowest.append(float(field.bounds[0, axis]))
    assert abs(lowest[0] - lowest[1]) < 0.02


def block(*, dented: bool) -> Field:
    """Return a cube that stands on y = -HALF, with or without a round dent in its underside."""
    axis = VOXEL * (torch.arange(COUNT) - (COUNT - 1) / 2)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    away = torch.stack([x, y, z]).abs().amax(dim=0) - HALF
    if dented:
        away = torch.maximum(away, DENT - (x.square() + (y + HALF).square() + z.square()).sqrt())
    field = Field(FieldConfig(resolution=(COUNT,) * 3), axis[:1].expand(3), VOXEL)
    with torch.no_grad():
        field.distance.copy_(away / VOXEL)
    return field


def seen_from(elevation_deg: float, field: Field, fov_deg: float = 40.0) -> OrbitVideo:
    """Return an orbit of a field in one flat colour, without normals."""
    elevation, fov = math.radians(elevation_deg), math.radians(fov_deg)
    cameras = orbit_cameras(12, size=64, elevation=elevation, fov_y=fov)
    alpha = render_views(field, cameras).alpha
    colour = 0.5 * alpha[..., None].expand(-1, -1, -1, 3)
    return OrbitVideo(albedo=colour, alpha=alpha, normals=None, cameras=cameras)


def fill(field: Field, orbit: OrbitVideo, up: Up = "y") -> None:
    surface = surface_points(field, orbit.cameras)
    fill_underside(field, orbit, surface, HullConfig(), up)
    flatten_underside(field, surface, up)


def distance_at(field: Field, points: Tensor) -> Tensor:
    return field.signed_distance(points).detach()


def test_a_dent_that_no_view_sees_is_filled_and_nothing_that_one_sees_moves() -> None:
    field = block(dented=True)
    orbit = seen_from(20.0, field)
    assert float(distance_at(field, IN_DENT).min()) > 0
    before = surface_points(field, orbit.cameras)
    fill(field, orbit)
    assert float(distance_at(field, IN_DENT).max()) < 0
    after = surface_points(field, orbit.cameras)
    both = before.hit & after.hit
    moved = (before.points - after.points)[both].norm(dim=-1)
    assert float(moved.quantile(0.99)) < 0.25 * VOXEL
    assert float((before.hit != after.hit).float().mean()) < 2e-3
    # Nor does it stick out below what the views have seen.
    assert float(field.bounds[0, 1]) > -HALF - 2.5 * VOXEL


def test_a_dent_that_views_from_below_see_is_kept() -> None:
    field = block(dented=True)
    orbit = seen_from(-40.0, field)
    fill(field, orbit)
    assert float(distance_at(field, IN_DENT).min()) > 0


def test_a_dent_that_lies_outside_of_all_frames_is_kept() -> None:
    """Close-ups say nothing of what they leave out."""
    field = block(dented=True)
    orbit = seen_from(20.0, field, fov_deg=8.0)
    fill(field, orbit)
    assert float(distance_at(field, IN_DENT).min()) > 0


def test_what_lies_above_a_floor_is_not_filled() -> None:
    """A hollow that opens upwards is no underside, whether seen or not."""
    field = block(dented=True)
    with torch.no_grad():
        field.distance.copy_(field.distance.flip(1))
    orbit = seen_from(5.0, field)
    fill(field, orbit)
    assert float(distance_at(field, IN_DENT * torch.tensor([1.0, -1.0, 1.0])).min()) > 0


def test_filling_follows_the_axis_that_is_up() -> None:
    field = block(dented=True)
    orbit = turned_up(seen_from(20.0, field), "y", "z")
    with torch.no_grad():
        # y becomes z, and z becomes -y.
        field.distance.copy_(field.distance.transpose(0, 1).flip(1))
    x, y, z = IN_DENT.unbind(dim=-1)
    points = torch.stack([x, -z, y], dim=-1)
    assert float(distance_at(field, points).min()) > 0
    fill(field, orbit, "z")
    assert float(distance_at(field, points).max()) < 0


@pytest.mark.parametrize("frames", ["flat", "lit", "normals"])
def test_light_and_normals_are_believed_of_an_underside_and_flat_colour_is_not(frames: str) -> None:
    field = block(dented=True)
    orbit = seen_from(20.0, field)
    normals = render_views(field, orbit.cameras).normals
    assert normals is not None
    if frames == "lit":
        orbit = replace(orbit, albedo=shade(orbit.albedo, normals))
    if frames == "normals":
        orbit = replace(orbit, normals=normals)
    finish_underside(field, orbit, HullConfig())
    assert bool((distance_at(field, IN_DENT) < 0).all()) == (frames == "flat")
