import pytest
import torch

from tests.threed.solids import Solid, ball, by_side, photograph
from threed.carving import CarvingConfig, carve_hollows
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
