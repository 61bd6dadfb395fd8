from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from tests.threed.solids import Solid, ball, box, by_side, photograph, plain
from threed.carving import CarvingConfig, carve_hollows, first_layers
from threed.field import Field
from threed.hull import HullConfig, hull_field
from threed.orbit import OrbitVideo

BALL, HOLE = ball(0.7, (0.0, -0.2, 0.0)), ball(0.62, (0.0, 0.25, 0.0))


def bowl(points: torch.Tensor) -> torch.Tensor:
    """A ball with a ball taken out of its top, both cut off level with the rim."""
    return torch.maximum(torch.maximum(BALL(points), -HOLE(points)), points[..., 1] - 0.2)


def tiles(points: torch.Tensor) -> torch.Tensor:
    """Large coloured tiles, so that no two places some way apart look alike."""
    place = (points * 3.0).floor().long()
    code = (place[..., 0] * 3 + place[..., 1] * 5 + place[..., 2] * 7) % 11
    shades = torch.linspace(0.1, 0.9, 11)
    return torch.stack([shades[code], shades[(code * 4) % 11], shades[(code * 7) % 11]], dim=-1)


def hull_of(orbit: OrbitVideo) -> Field:
    return hull_field(orbit, HullConfig(), torch.Generator().manual_seed(0), coarseness=2)


def inside(field: Field) -> torch.Tensor:
    return field.distance.detach() < 0


def places(field: Field) -> torch.Tensor:
    """Return the world positions of the grid's vertices."""
    x, y, z = field.config.resolution
    index = torch.stack(
        torch.meshgrid(torch.arange(z), torch.arange(y), torch.arange(x), indexing="ij")[::-1],
        dim=-1,
    )
    return field.lower + field.voxel * index


def test_a_bowls_hollow_is_dug_out_and_its_wall_stands() -> None:
    orbit = photograph(Solid(distance=bowl, colour=tiles), size=64, num_frames=16, elevation=0.6)
    field = hull_of(orbit)
    truth = bowl(places(field))
    full = inside(field)
    hollow, wall = full & (truth > 0.06), truth < -0.02
    taken = carve_hollows(field, orbit, CarvingConfig())
    left = inside(field)
    assert torch.equal(taken, full & ~left)
    assert float((hollow & ~left).sum() / hollow.sum()) > 0.4
    assert float((wall & full & ~left).sum() / (wall & full).sum()) < 0.05
    # What stays has kept its distance to a fraction of a voxel.
    far = left & (truth < -0.1)
    assert bool((field.distance.detach()[far] < 0).all())


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_what_all_views_agree_about_stays(noise: float) -> None:
    orbit = photograph(Solid(distance=ball(0.6), colour=by_side), size=64, num_frames=16)
    generator = torch.Generator().manual_seed(0)
    grain = noise * torch.randn(orbit.albedo.shape, generator=generator) * orbit.alpha[..., None]
    orbit = OrbitVideo(
        albedo=(orbit.albedo + grain).clamp(0, 1),
        alpha=orbit.alpha,
        normals=None,
        cameras=orbit.cameras,
    )
    field = hull_of(orbit)
    before = inside(field)
    carve_hollows(field, orbit, CarvingConfig())
    assert float((before & ~inside(field)).sum() / before.sum()) < 0.005


def test_one_frame_of_another_thing_digs_nothing() -> None:
    orbit = photograph(Solid(distance=ball(0.6), colour=by_side), size=64, num_frames=16)
    albedo = orbit.albedo.clone()
    albedo[3] = 1 - albedo[3]
    spoilt = OrbitVideo(
        albedo=albedo * orbit.alpha[..., None],
        alpha=orbit.alpha,
        normals=None,
        cameras=orbit.cameras,
    )
    field = hull_of(spoilt)
    before = inside(field)
    carve_hollows(field, spoilt, CarvingConfig())
    assert float((before & ~inside(field)).sum() / before.sum()) < 0.005


def test_frames_of_no_solid_thing_dig_nothing() -> None:
    """Every frame has another colouring, as a model's frames may that does not know the object."""
    orbit = photograph(Solid(distance=ball(0.6), colour=tiles), size=64, num_frames=16)
    turned = torch.stack([frame.roll(view, dims=-1) for view, frame in enumerate(orbit.albedo)])
    spoilt = OrbitVideo(albedo=turned, alpha=orbit.alpha, normals=None, cameras=orbit.cameras)
    field = hull_of(spoilt)
    before = inside(field)
    assert not carve_hollows(field, spoilt, CarvingConfig()).any()
    assert bool((inside(field) == before).all())


def test_a_hollow_of_one_colour_begins_where_normals_disagree() -> None:
    solid = Solid(distance=bowl, colour=plain(0.8, 0.7, 0.6))
    orbit = photograph(solid, size=64, num_frames=16, elevation=0.4)
    field = hull_of(orbit)
    before = field.distance.detach().clone()
    truth = bowl(places(field))
    taken = first_layers(field, orbit, CarvingConfig())
    assert torch.equal(field.distance.detach(), before)
    hollow = inside(field) & (truth > 0.06)
    assert float((taken & hollow).sum() / hollow.sum()) > 0.2
    assert float((taken & (truth < -0.02)).sum() / (inside(field) & (truth < -0.02)).sum()) < 0.01
    # The colours alone say nothing.
    assert not first_layers(field, replace(orbit, normals=None), CarvingConfig()).any()


def turned(orbit: OrbitVideo, noise_deg: float) -> OrbitVideo:
    """Turn each normal by chance, as blurred as a model that draws it leaves its mistakes."""
    assert orbit.normals is not None
    generator = torch.Generator().manual_seed(0)
    shape = (orbit.num_frames, 3, *(side // 4 for side in orbit.alpha.shape[1:]))
    grain = torch.randn(shape, generator=generator)
    grain = torch.nn.functional.interpolate(grain, scale_factor=4, mode="bilinear")
    grain = grain.permute(0, 2, 3, 1) * torch.tensor(noise_deg).deg2rad()
    unit = torch.nn.functional.normalize(orbit.normals + grain, dim=-1)
    return replace(orbit, normals=unit * orbit.alpha[..., None])


@pytest.mark.parametrize("noise_deg", [0.0, 8.0])
@pytest.mark.parametrize("shape", [ball(0.6), box(0.45)])
def test_normals_of_a_thing_without_hollows_begin_none(
    shape: Callable[[torch.Tensor], torch.Tensor], noise_deg: float
) -> None:
    orbit = photograph(Solid(distance=shape, colour=plain(0.5, 0.5, 0.5)), num_frames=16)
    field = hull_of(orbit)
    taken = first_layers(field, turned(orbit, noise_deg), CarvingConfig())
    assert float(taken.sum() / inside(field).sum()) < 0.01


def test_two_frames_of_another_thing_begin_no_hollow() -> None:
    orbit = photograph(Solid(distance=ball(0.6), colour=by_side), size=64, num_frames=16)
    assert orbit.normals is not None
    albedo, normals = orbit.albedo.clone(), orbit.normals.clone()
    for frame in (3, 9):
        albedo[frame] = (1 - albedo[frame]) * orbit.alpha[frame, ..., None]
        normals[frame] = -normals[frame]
    field = hull_of(orbit)
    taken = first_layers(field, replace(orbit, albedo=albedo, normals=normals), CarvingConfig())
    assert float(taken.sum() / inside(field).sum()) < 0.005


@pytest.mark.parametrize("name", ["outliers", "drawn_outliers"])
def test_somebody_must_be_believed(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        CarvingConfig(min_views=3, **{name: 3})
