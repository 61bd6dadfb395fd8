from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from threed.field import Field, FieldConfig

CENTRE = torch.tensor([3.0, -1.0, 5.0])


def sphere_field(radius: float = 0.6, voxel: float = 0.05) -> Field:
    """Return a field whose distance is a sphere's, exact at the vertices."""
    config = FieldConfig(resolution=(33, 37, 41), colour_resolution=16)
    size = voxel * (torch.tensor(config.resolution) - 1)
    field = Field(config, CENTRE - 0.5 * size, voxel)
    z, y, x = torch.meshgrid(*(torch.arange(n) for n in (41, 37, 33)), indexing="ij")
    points = field.lower + voxel * torch.stack([x, y, z], dim=-1)
    with torch.no_grad():
        field.distance.copy_(((points - CENTRE).norm(dim=-1) - radius) / voxel)
    field.reset_colour(torch.tensor([0.2, 0.5, 0.7]), torch.Generator().manual_seed(0))
    return field


def points_about_the_sphere(count: int, reach: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return CENTRE + direction * (0.3 + reach * torch.rand(count, 1, generator=generator))


def test_distance_of_a_sphere_is_in_world_units() -> None:
    points = points_about_the_sphere(500, 0.4)
    exact = (points - CENTRE).norm(dim=-1) - 0.6
    # Between vertices a sphere of 12 voxels lies off by about the voxel squared over the radius.
    assert_close(sphere_field().signed_distance(points), exact, atol=0.003, rtol=0)


def test_distance_grows_with_every_step_away_from_the_grid() -> None:
    steps = torch.linspace(0.6, 8, 40)[:, None]
    distance = sphere_field().signed_distance(CENTRE + steps * torch.tensor([0.6, 0.0, 0.8]))
    assert (distance.diff() > 0).all()


def test_normals_of_a_sphere_point_away_from_its_centre() -> None:
    points = points_about_the_sphere(500, 0.4)
    outward = torch.nn.functional.normalize(points - CENTRE, dim=-1)
    assert ((sphere_field().normals(points) * outward).sum(dim=-1) > 0.999).all()


def test_bounds_hold_the_surface_tightly_wherever_it_stands() -> None:
    bounds = sphere_field().bounds
    exact = torch.stack([CENTRE - 0.6, CENTRE + 0.6])
    assert ((exact - bounds) * torch.tensor([[1.0], [-1.0]]) > 0).all()
    assert_close(bounds, exact, atol=0.11, rtol=0)


def test_colour_starts_at_the_colour_asked_for() -> None:
    colours = sphere_field().albedo(points_about_the_sphere(100, 0.4))
    assert_close(colours, torch.tensor([0.2, 0.5, 0.7]).expand(100, 3), atol=0.02, rtol=0)


def test_saved_field_comes_back_bit_for_bit(tmp_path: Path) -> None:
    field = sphere_field()
    field.save(tmp_path / "field.safetensors")
    loaded = Field.load(tmp_path / "field.safetensors")
    points = points_about_the_sphere(50, 0.6)
    assert torch.equal(loaded.signed_distance(points), field.signed_distance(points))
    assert torch.equal(loaded.albedo(points), field.albedo(points))
    assert loaded.config == field.config


def test_field_learns_nothing_from_the_global_generator() -> None:
    torch.manual_seed(3)
    first = sphere_field()
    torch.manual_seed(4)
    second = sphere_field()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("resolution", [(3, 40, 40), (0, 9, 9)])
def test_grid_too_small_for_a_surface_is_refused(resolution: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="resolution"):
        FieldConfig(resolution=resolution)
