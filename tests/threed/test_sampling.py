import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from tests.threed.test_field import CENTRE, sphere_field
from threed.band import SparseMap, interpolation, narrow_band
from threed.sampling import RaySamples, box_interval, march, nearest_distance


def rays_at_the_sphere(count: int = 200) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rays from three units away that hit a sphere's neighbourhood or pass it by."""
    generator = torch.Generator().manual_seed(2)
    origins = CENTRE + 3 * F.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    targets = CENTRE + 0.8 * (2 * torch.rand(count, 3, generator=generator) - 1)
    return origins, F.normalize(targets - origins, dim=-1)


def marched(band: float, step: float = 0.5) -> RaySamples:
    return march(sphere_field(), *rays_at_the_sphere(), band=band, step=step, generator=None)


def test_rays_enter_and_leave_a_box_where_they_should() -> None:
    field = sphere_field()
    origins = CENTRE + torch.tensor([[-5.0, 0.0, 0.0], [0.0, 0.0, 9.0], [0.0, 5.0, 0.0]])
    directions = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    near, far = box_interval(field, origins, directions)
    assert_close(near[:2], torch.tensor([5 - 0.8, 9 - 1.0]))
    assert_close(far[:2], torch.tensor([5 + 0.8, 9 + 1.0]))
    # Looking away, there is nothing in front.
    assert float(far[2]) < float(near[2])


def test_samples_lie_on_their_rays_in_order() -> None:
    origins, directions = rays_at_the_sphere()
    samples = marched(3.0)
    along = ((samples.points - origins[samples.ray]) * directions[samples.ray]).sum(dim=-1)
    on_ray = origins[samples.ray] + along[:, None] * directions[samples.ray]
    assert_close(samples.points, on_ray, atol=1e-5, rtol=0)
    assert bool((samples.ray.diff() >= 0).all())
    joined = samples.joined[:-1]
    spacing = along.diff()[joined]
    assert_close(spacing, torch.full_like(spacing, 0.5 * 0.05), atol=1e-5, rtol=0)


def test_every_ray_crosses_the_surface_inside_one_interval() -> None:
    samples = marched(2.0)
    origins, directions = rays_at_the_sphere()
    along = ((CENTRE - origins) * directions).sum(dim=-1)
    miss = (origins + along[:, None] * directions - CENTRE).norm(dim=-1)
    inside = (samples.points - CENTRE).norm(dim=-1) < 0.6
    enters = samples.joined[:-1] & ~inside[:-1] & inside[1:]
    entered = torch.zeros(len(origins), dtype=torch.long)
    entered.index_add_(0, samples.ray[:-1][enters], torch.ones_like(samples.ray[:-1][enters]))
    # A ray that only just grazes may slip through between two samples.
    assert bool((entered[miss < 0.58] == 1).all())
    assert bool((entered[miss > 0.6] == 0).all())


def test_a_tighter_band_keeps_fewer_samples_and_none_deep_inside() -> None:
    wide, tight = marched(6.0), marched(2.0)
    assert len(tight) < 0.6 * len(wide)
    assert float((tight.points - CENTRE).norm(dim=-1).min()) > 0.6 - 5 * 0.05


@pytest.mark.parametrize(("band", "step"), [(1.5, 0.8), (3.0, 0.3), (6.0, 1.7)])
def test_marching_in_cells_finds_what_looking_everywhere_finds(band: float, step: float) -> None:
    field = sphere_field()
    origins, directions = rays_at_the_sphere()
    samples = marched(band, step)
    near, far = box_interval(field, origins, directions)
    length = step * float(field.voxel)
    count = int(torch.ceil((far - near).max() / length)) + 2
    expected = []
    for ray in range(len(origins)):
        along = near[ray] - 0.5 * length + length * torch.arange(count)
        points = origins[ray] + along[:, None] * directions[ray]
        here = nearest_distance(field, origins[[ray]], directions[[ray]], along[None])[0]
        within = along < far[ray] + length
        close = (here.abs() < band) & within
        wide = close.clone()
        wide[1:] |= close[:-1]
        wide[:-1] |= close[1:]
        behind = ((here < -band) & within).cumsum(dim=0) > 1
        expected.append(points[wide & ~behind])
    assert_close(samples.starts.diff(), torch.tensor([len(points) for points in expected]))
    assert_close(samples.points, torch.cat(expected), atol=1e-5, rtol=0)


def test_starts_count_each_rays_samples() -> None:
    samples = marched(2.0)
    assert_close(samples.starts.diff(), torch.bincount(samples.ray, minlength=200))
    assert int(samples.starts[-1]) == len(samples)


def test_interpolation_is_grid_samples_and_ends_at_the_border() -> None:
    field = sphere_field()
    points = CENTRE + 2.4 * (torch.rand(300, 3, generator=torch.Generator().manual_seed(3)) - 0.5)
    local = 2 * (points - field.lower) / field.size - 1
    expected = F.grid_sample(
        field.distance[None, None],
        local[None, None, None],
        align_corners=True,
        padding_mode="border",
    ).flatten()
    values = interpolation(field, points)(field.distance.reshape(-1, 1))
    assert_close(values[:, 0], expected, atol=1e-4, rtol=1e-5)


def test_sparse_map_and_its_gradient_are_those_of_the_dense_matrix() -> None:
    generator = torch.Generator().manual_seed(4)
    index = torch.randint(9, (20, 3), generator=generator, dtype=torch.int32)
    weights = torch.rand(20, 3, generator=generator)
    matrix = torch.zeros(20, 9).scatter_add_(1, index.long(), weights)
    table = torch.randn(9, 2, generator=generator, requires_grad=True)
    wanted = torch.randn(20, 2, generator=generator)
    ours = SparseMap(index=index, weights=weights)(table)
    assert_close(ours, matrix @ table)
    (grad,) = torch.autograd.grad((ours * wanted).sum(), table)
    assert_close(grad, matrix.T @ wanted)
    # What a GPU runs instead.
    bagged = F.embedding_bag(index.long(), table, per_sample_weights=weights, mode="sum")
    assert_close(bagged, ours)


def test_band_gives_the_fields_own_distances_and_normals() -> None:
    field = sphere_field()
    samples = marched(3.0)
    band, (at_samples,) = narrow_band(field, [interpolation(field, samples.points)])
    table, _ = band.values(field)
    values = at_samples(table)
    distance = values[:, 0] * field.voxel
    assert_close(distance, field.signed_distance(samples.points), atol=1e-5, rtol=1e-4)
    normals = F.normalize(values[:, 1:], dim=-1)
    assert_close(normals, field.normals(samples.points), atol=1e-3, rtol=0)


def test_second_differences_of_a_paraboloid_are_constant() -> None:
    field = sphere_field()
    x = torch.arange(33.0)
    with torch.no_grad():
        field.distance.copy_((0.5 * x.square()).expand_as(field.distance))
    middle = CENTRE + 0.3 * (torch.rand(50, 3, generator=torch.Generator().manual_seed(5)) - 0.5)
    band, _ = narrow_band(field, [interpolation(field, middle)])
    _, bend = band.values(field)
    assert_close(bend, torch.tensor([1.0, 0.0, 0.0]).expand_as(bend), atol=1e-3, rtol=0)


@pytest.mark.parametrize("seed", [0, 1])
def test_same_generator_same_samples(seed: int) -> None:
    field = sphere_field()
    first, second = (
        march(
            field,
            *rays_at_the_sphere(),
            band=2.0,
            step=0.8,
            generator=torch.Generator().manual_seed(seed),
        )
        for _ in range(2)
    )
    assert torch.equal(first.points, second.points)
