"""Every kernel does what its line of torch does, which other devices run."""

import pkgutil
import threading
from collections.abc import Callable
from importlib import import_module

import pytest
import torch
from numba.core.dispatcher import Dispatcher
from torch.testing import assert_close

import threed.kernels
from tests.threed.test_field import points_about_the_sphere, sphere_field
from tests.threed.test_sampling import rays_at_the_sphere
from threed.adam import Adam, _step_anywhere
from threed.band import SparseMap, _interpolation, interpolation, narrow_band
from threed.cameras import orbit_cameras
from threed.compile import _ball, compile_kernels
from threed.field import Field
from threed.fit import FitConfig, fit
from threed.kernels import in_parts
from threed.losses import LossConfig, surface_loss, surface_loss_anywhere
from threed.progress import finish
from threed.rasterize import _draw_chunks, rasterize
from threed.render import _End, _See, render_views, see_samples, surface_weights
from threed.sampling import _walk_cells, _walk_rays, box_interval, march


@pytest.fixture(params=[1, 3], autouse=True)
def num_threads(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Small work in parts, too."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: request.param)
    monkeypatch.setattr("threed.kernels.SMALLEST_PART", 16)
    return request.param


def assert_same(
    kernel: Callable[..., tuple[torch.Tensor, ...]],
    plain: Callable[..., tuple[torch.Tensor, ...]],
    *inputs: torch.Tensor,
    atol: float = 1e-5,
) -> None:
    """Assert that two ways give the same, and the same gradients for random ones of theirs."""
    generator = torch.Generator().manual_seed(9)
    grads = []
    for each in (kernel, plain):
        leaves = [value.detach().clone().requires_grad_() for value in inputs]
        outputs = each(*leaves)
        if not grads:
            wanted = [torch.randn(out.shape, generator=generator) for out in outputs]
            values = outputs
        for ours, theirs in zip(values, outputs, strict=True):
            assert_close(ours, theirs, atol=atol, rtol=1e-4)
        total = sum((out * want).sum() for out, want in zip(outputs, wanted, strict=True))
        grads.append(torch.autograd.grad(total, leaves, allow_unused=True))
    for ours, theirs in zip(*grads, strict=True):
        assert theirs is not None and bool(theirs.any())
        assert_close(ours, theirs, atol=10 * atol, rtol=1e-3)


def bumpy(field: Field) -> Field:
    """Return the field with a distance that is no true one, on its border, too."""
    noise = torch.randn(field.distance.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        field.distance += 0.3 * noise
    return field


@pytest.mark.parametrize(("band", "step"), [(1.4, 0.8), (2.0, 0.25), (5.0, 1.5)])
def test_a_walk_along_rays_keeps_what_one_over_cells_keeps(band: float, step: float) -> None:
    field = sphere_field()
    origins, directions = rays_at_the_sphere(400)
    near, far = box_interval(field, origins, directions)
    length = step * float(field.voxel)
    shift = torch.rand(near.shape, generator=torch.Generator().manual_seed(3)) - 1
    ends = near + shift * length, far + length
    ray, order = _walk_rays(field, origins, directions, *ends, band, length)
    expected = _walk_cells(field, origins, directions, *ends, band, length)
    assert torch.equal(ray, expected[0]) and torch.equal(order.long(), expected[1])
    assert len(ray) > 1000


def test_a_walk_ends_whatever_a_ray_is() -> None:
    field = sphere_field()
    origins = torch.tensor([[float("nan"), 0, 0], [0, 0, float("inf")], [1e30, 0, 0], [0, 0, 0]])
    directions = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0], [0, 0, 0]])
    samples = march(field, origins, directions, band=2.0, step=0.5, generator=None)
    assert len(samples.starts) == 5
    nowhere = torch.zeros(0, 3)
    assert len(march(field, nowhere, nowhere, band=2.0, step=0.5, generator=None)) == 0


def test_values_and_differences_at_vertices() -> None:
    field = bumpy(sphere_field())
    # The first and the last vertex, too, which have no neighbours on one side.
    points = torch.cat([points_about_the_sphere(300, 0.4), field.box])
    band, _ = narrow_band(field, [interpolation(field, points)])

    def with_kernel(distance: torch.Tensor) -> tuple[torch.Tensor, ...]:
        holder = sphere_field()
        del holder.distance
        holder.distance = distance
        return band.values(holder)

    assert_same(with_kernel, band.differences, field.distance)


def test_points_lie_between_the_same_vertices() -> None:
    field = sphere_field()
    # Some on vertices, some outside.
    points = torch.cat([points_about_the_sphere(300, 1.5), field.box, field.box.mean(dim=0)[None]])
    ours, theirs = interpolation(field, points), _interpolation(field, points)
    assert torch.equal(ours.index, theirs.index)
    assert_close(ours.weights, theirs.weights, atol=1e-5, rtol=0)
    band, (moved,) = narrow_band(field, [ours])
    assert torch.equal(band.vertices, ours.index.unique().long())
    assert torch.equal(band.vertices[moved.index.long()], ours.index.long())


def test_what_is_no_number_touches_nothing_outside() -> None:
    field = sphere_field()
    points = torch.tensor([[torch.nan, 0, 0], [0, torch.inf, -torch.inf], [1e30, torch.nan, -1e30]])
    index = interpolation(field, points).index
    assert int(index.min()) >= 0 and int(index.max()) < field.distance.numel()
    assert field.albedo(points).shape == (3, 3)
    field.albedo(points).nansum().backward()
    corners = torch.tensor([[torch.nan, 0, 0], [0, torch.inf, 0], [0, 0, -torch.inf], [0, 0, 0.0]])
    rasterize(corners, torch.tensor([[0, 1, 2], [1, 2, 3], [3, 3, 0]]), orbit_cameras(2, size=9))


def test_values_between_vertices() -> None:
    generator = torch.Generator().manual_seed(4)
    index = torch.randint(60, (200, 8), generator=generator, dtype=torch.int32)
    weights = torch.rand(200, 8, generator=generator)
    sparse, dense = SparseMap(index=index, weights=weights), torch.zeros(200, 60)
    dense.scatter_add_(1, index.long(), weights)
    table = torch.randn(60, 4, generator=generator)
    assert_same(lambda t: (sparse(t),), lambda t: (dense @ t,), table)


def test_where_rays_end_and_what_they_see() -> None:
    field = bumpy(sphere_field())
    origins, directions = rays_at_the_sphere()
    # Rays that meet nothing stand at the end, too.
    samples = march(field, origins, directions, band=2.0, step=0.5, generator=None)
    band, (at_samples,) = narrow_band(field, [interpolation(field, samples.points)])
    values = at_samples(band.values(field)[0]).detach()
    # A gradient that is shorter than what it is divided by.
    values[5:7, 1:] = 1e-5
    assert_same(
        lambda v: (_End.apply(v, samples, 3.0),),
        lambda v: (surface_weights(v[:, 0], samples, 3.0),),
        values,
    )
    weights = surface_weights(values[:, 0], samples, 3.0)
    chosen = (weights > 0.02).nonzero()[:, 0]
    albedo = torch.rand(len(chosen), 3, generator=torch.Generator().manual_seed(5))

    def kernel(w: torch.Tensor, v: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (_See.apply(w, v, a, samples, chosen),)

    def plain(w: torch.Tensor, v: torch.Tensor, a: torch.Tensor) -> tuple[torch.Tensor, ...]:
        # Where nothing ends nothing has a weight that could change.
        return (see_samples(w * (weights > 0), v, a, samples, chosen),)

    assert_same(kernel, plain, weights, values, albedo)


def test_logistics_far_from_the_surface_stay_numbers() -> None:
    field = sphere_field()
    samples = march(field, *rays_at_the_sphere(), band=4.0, step=1.0, generator=None)
    values = torch.zeros(len(samples), 4).requires_grad_()
    far = torch.linspace(1e4, -1e4, len(samples))[:, None] * torch.tensor([1.0, 0, 0, 0])
    weights = _End.apply(values + far, samples, 50.0)
    weights.sum().backward()
    assert bool(weights.isfinite().all()) and float(weights.detach().max()) <= 1
    assert values.grad is not None and bool(values.grad.isfinite().all())


def test_what_makes_a_distance_a_distance() -> None:
    generator = torch.Generator().manual_seed(6)
    table = 2 * torch.randn(300, 4, generator=generator)
    bend = 0.3 * torch.randn(300, 3, generator=generator)
    config = LossConfig(eikonal_weight=0.7, smooth_weight=0.4)
    assert_same(
        lambda t, b: (surface_loss(t, b, config),),
        lambda t, b: (surface_loss_anywhere(t, b, config),),
        table,
        bend,
        atol=1e-3,
    )


def test_colours_are_nerfstudios_planes_also_outside_of_them() -> None:
    field = sphere_field()
    with torch.no_grad():
        for plane in field.planes.plane_coefs:
            plane.copy_(torch.randn(plane.shape, generator=torch.Generator().manual_seed(7)))
    points = points_about_the_sphere(300, 1.5)
    local = (points - field.lower - 0.5 * field.size) / (0.5 * field.size.max())
    assert float(local.abs().max()) > 1.1
    features = field.planes(local)
    wanted = torch.randn(len(points), 3, generator=torch.Generator().manual_seed(8))
    parameters = list(field.parameters())[1:]
    grads = []
    for colour in (field.albedo(points), torch.sigmoid(field.colour(features))):
        assert_close(colour, field.albedo(points), atol=1e-5, rtol=1e-4)
        grads.append(torch.autograd.grad((colour * wanted).sum(), parameters))
    for ours, theirs in zip(*grads, strict=True):
        assert bool(theirs.any())
        assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_a_point_that_wants_a_gradient_of_its_colour_gets_it() -> None:
    field = sphere_field()
    points = points_about_the_sphere(20, 0.4).requires_grad_()
    (grad,) = torch.autograd.grad(field.albedo(points).sum(), points)
    assert bool(grad.any())


@pytest.mark.parametrize("turned", [False, True])
def test_steps_of_adam_are_those_of_another_device(turned: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    ours = torch.randn(9, 8, 7, generator=generator)
    if turned:
        ours = ours.permute(2, 0, 1)
    theirs = ours.clone(memory_format=torch.contiguous_format)
    adam = Adam([ours], floor=1e-3)
    mean, square = torch.zeros_like(theirs), torch.zeros_like(theirs)
    for step in range(1, 5):
        grad = torch.randn(ours.shape, generator=generator)
        # Some never had a gradient, some have one no more.
        grad[0], grad[step] = 0, 0
        ours.grad = grad.clone()
        adam.step(0.1)
        scales = (1 / (1 - 0.9**step), 1 / (1 - 0.99**step))
        _step_anywhere(theirs, mean, square, grad, scales, 0.1, 1e-3)
    assert_close(ours, theirs)
    assert ours.grad is None


def test_triangles_are_drawn_as_on_another_device(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(2)
    vertices = 2 * torch.rand(90, 3, generator=generator) - 1
    # Some reach behind the cameras, some lie in one place, some have no area.
    vertices[0] = torch.tensor([0.0, 0.0, 9.0])
    faces = torch.randint(90, (80, 3), generator=generator)
    faces = torch.cat([faces, faces[:20], faces[20:30].roll(1, dims=1), faces[:5, :1].expand(5, 3)])
    cameras = orbit_cameras(5, size=33)
    ours = rasterize(vertices, faces, cameras)
    monkeypatch.setattr("threed.rasterize._draw", _draw_chunks)
    theirs = rasterize(vertices, faces, cameras)
    assert torch.equal(ours.face, theirs.face) and len(ours.face.unique()) > 30
    assert torch.equal(ours.depth, theirs.depth)
    assert torch.equal(ours.barycentric, theirs.barycentric)


def test_a_fit_waits_for_no_compiler() -> None:
    compile_kernels()
    modules = [
        import_module(f"threed.kernels.{each.name}")
        for each in pkgutil.iter_modules(threed.kernels.__path__)
    ]
    kernels = [k for m in modules for k in vars(m).values() if isinstance(k, Dispatcher)]
    before = [len(kernel.signatures) for kernel in kernels]
    assert len(kernels) > 10 and sum(before) >= 11
    orbit = render_views(_ball(), orbit_cameras(8, size=24))
    config = FitConfig(num_steps=4, rays_a_step=256)
    field = finish(fit(orbit, config, torch.Generator().manual_seed(0)))
    assert bool((field.distance < 0).any())
    assert [len(kernel.signatures) for kernel in kernels] == before


def test_parts_are_a_whole(num_threads: int) -> None:
    parts = in_parts(lambda part: part, 100)
    assert len(parts) == num_threads
    assert [place for part in parts for place in range(100)[part]] == list(range(100))
    assert in_parts(lambda part: part, 0) == [slice(0, 0)]
    threads = in_parts(lambda _: threading.get_ident(), 100)
    assert threads[0] == threading.get_ident()


def test_what_fails_in_a_part_fails() -> None:
    def work(part: slice) -> None:
        if part.stop == 100:
            raise ValueError("the last part")

    with pytest.raises(ValueError, match="last part"):
        in_parts(work, 100)
