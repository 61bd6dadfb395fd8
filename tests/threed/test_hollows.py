"""Laws of digging a hollow on to walls."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.threed.solids import Solid, ball, photograph, plain
from tests.threed.test_carving import HOLE, bowl, hull_of, inside, places, tiles
from threed.carving import take_away
from threed.errors import ReconstructionError
from threed.field import Field
from threed.fit import FitConfig, descend, fit
from threed.hollows import HollowConfig, empty_to_walls, floor_below, opens_upwards, truer
from threed.orbit import OrbitVideo
from threed.progress import finish
from threed.targets import cull, ray_targets
from threed.upright import Up

CONFIG = HollowConfig()


@pytest.fixture(scope="module")
def bowls_orbit() -> OrbitVideo:
    return photograph(Solid(distance=bowl, colour=tiles), size=64, num_frames=16, elevation=0.45)


def carved(orbit: OrbitVideo, where: Tensor) -> tuple[Field, Tensor, Tensor]:
    """Return the hull without what lies in `where`, the whole hull, and what was taken."""
    field = hull_of(orbit)
    hull = inside(field)
    take_away(field, hull & where)
    return field, hull, hull & where


def test_a_vessel_opened_from_above_is_emptied_down_to_its_walls(bowls_orbit: OrbitVideo) -> None:
    at = places(hull_of(bowls_orbit))
    truth = bowl(at)
    # Carving came half way down.
    field, hull, taken = carved(bowls_orbit, (truth > 0.04) & (at[..., 1] > -0.05))
    before = inside(field).clone()
    assert opens_upwards(hull, taken, CONFIG)
    hollow = hull & (truth > 0.06)
    assert float((hollow & before).sum() / hollow.sum()) > 0.15
    empty_to_walls(field, hull, taken, replace(CONFIG, floor=CONFIG.wall))
    # The bowl's own wall is thicker everywhere: all of its hollow goes.
    assert float((hollow & inside(field)).sum() / hollow.sum()) < 0.05
    # A wall as thick as asked is left all round, so that nothing outside opened up.
    outer = hull & ~(torch.nn.functional.avg_pool3d(hull.float()[None, None], 3, 1, 1)[0, 0] > 0.99)
    low = outer & (at[..., 1] < 0.0)
    assert float(inside(field)[low].float().mean()) > 0.99


@pytest.mark.parametrize("side", ["below", "beside", "small", "within"])
def test_what_carving_took_elsewhere_is_no_vessels(bowls_orbit: OrbitVideo, side: str) -> None:
    at = places(hull_of(bowls_orbit))
    where = {
        "below": at[..., 1] < -0.55,
        "beside": at[..., 0] > 0.35,
        "small": (at - torch.tensor([0.0, 0.2, 0.0])).norm(dim=-1) < 0.12,
        "within": (at - torch.tensor([0.0, -0.2, 0.0])).norm(dim=-1) < 0.25,
    }[side]
    _, hull, taken = carved(bowls_orbit, where)
    assert not opens_upwards(hull, taken, CONFIG)


def test_the_axis_that_points_up_decides_what_opens_upwards(bowls_orbit: OrbitVideo) -> None:
    at = places(hull_of(bowls_orbit))
    _, hull, taken = carved(bowls_orbit, at[..., 1] > 0.0)
    assert opens_upwards(hull, taken, CONFIG, up="y")
    assert not opens_upwards(hull, taken, CONFIG, up="z")


@pytest.mark.parametrize("colour", [tiles, plain(0.7, 0.6, 0.5)])
def test_the_carved_field_is_kept_unless_the_emptied_one_is_clearly_better(
    colour: Callable[[Tensor], Tensor],
) -> None:
    """Where all is of one colour the normals tell."""
    orbit = photograph(Solid(distance=ball(0.6), colour=colour), size=64)
    good = hull_of(orbit)
    # As the views see it, but where a piece is missing that the views see.
    for _ in descend(
        good,
        [cull(good, ray_targets(orbit, shaded=True))],
        orbit,
        FitConfig(num_steps=60, rays_a_step=2048),
        torch.Generator().manual_seed(0),
        range(60),
    ):
        pass
    bad = deepcopy(good)
    take_away(bad, inside(bad) & (places(bad)[..., 2] > 0.3))
    assert truer(good, good, orbit, CONFIG) is good
    assert truer(good, bad, orbit, CONFIG) is good
    assert truer(bad, good, orbit, CONFIG) is good
    assert truer(bad, good, orbit, replace(CONFIG, margin_db=100.0)) is bad


def test_a_fit_finds_a_deeper_bowl_and_counts_the_steps_that_it_takes_to(
    bowls_orbit: OrbitVideo,
) -> None:
    config = FitConfig(num_steps=120, rays_a_step=2048)

    def hollow_left(config: FitConfig) -> tuple[float, list[int], set[int]]:
        steps, numbers, totals = fit(bowls_orbit, config, torch.Generator().manual_seed(0)), [], []
        while True:
            try:
                record = next(steps)
            except StopIteration as stop:
                field = stop.value
                break
            numbers.append(record.step)
            totals.append(record.num_steps)
        grid = torch.stack(torch.meshgrid(*[torch.linspace(-0.7, 0.2, 40)] * 3, indexing="ij"), -1)
        points = grid[bowl(grid) > 0.05]
        points = points[(points - torch.tensor([0.0, -0.2, 0.0])).norm(dim=-1) < 0.7]
        left = (field.signed_distance(points) < 0).float().mean()
        return float(left), numbers, set(totals)

    alone, numbers, totals = hollow_left(replace(config, hollows=None))
    assert numbers == list(range(120)) and totals == {120}
    deeper, numbers, totals = hollow_left(config)
    assert len(totals) == 1 and numbers == list(range(*totals)) and len(numbers) > 120
    assert deeper < 0.6 * alone


def test_a_hollow_that_leaves_nothing_leaves_the_carved_hull(bowls_orbit: OrbitVideo) -> None:
    """A wall thinner than a voxel is no wall."""
    config = FitConfig(num_steps=40, rays_a_step=1024, hollows=HollowConfig(wall=0.1, floor=0.1))
    field = finish(fit(bowls_orbit, config, torch.Generator().manual_seed(0)))
    assert bool((field.distance < 0).any())
    nothing = replace(bowls_orbit, kind="clip")
    with pytest.raises(ReconstructionError):
        finish(fit(nothing, config, torch.Generator().manual_seed(0)))


def test_an_emptied_vessel_keeps_its_floor(bowls_orbit: OrbitVideo) -> None:
    """Below a thing the hull bulges, and is cut off level: the floor must not go with it."""
    config = FitConfig(num_steps=60, rays_a_step=2048)
    field = finish(fit(bowls_orbit, config, torch.Generator().manual_seed(0)))
    radius = torch.linspace(0.0, 0.4, 5)[:, None, None]
    angle = torch.linspace(0, 2 * torch.pi, 17)[None, :, None]
    height = torch.linspace(-1.0, 0.2, 240)[None, None]
    points = torch.stack(
        torch.broadcast_tensors(radius * angle.cos(), height, radius * angle.sin()), dim=-1
    )
    assert bool((field.signed_distance(points) < 0).any(dim=-1).all())


@pytest.mark.parametrize("up", ["y", "z"])
def test_a_worn_floor_comes_back_within_the_solid(bowls_orbit: OrbitVideo, up: Up) -> None:
    at = places(hull_of(bowls_orbit))
    field, hull, taken = carved(bowls_orbit, (bowl(at) > 0.04) & (at[..., 1] > -0.05))
    emptied = deepcopy(field)
    empty_to_walls(emptied, hull, taken, CONFIG)
    if up == "z":
        # The same bowl lying on its side, so that its opening is where z points.
        for solid in (field, emptied):
            solid.distance.data = solid.distance.data.transpose(0, 1).contiguous()
    axis = 1 if up == "y" else 0
    floor = floor_below(field, emptied, CONFIG, up)
    assert bool((floor >= field.distance.detach()).all())
    gone = inside(field) & ~inside(emptied)
    below = (inside(emptied) & ~gone).any(dim=axis)
    columns = gone.any(dim=axis) & below
    # Solid at some vertex of nearly each column, and so all over it.
    assert float((floor < 0).any(dim=axis)[columns].float().mean()) > 0.9
    assert not (floor < 0)[gone].any()


def test_what_was_not_emptied_gets_no_floor(bowls_orbit: OrbitVideo) -> None:
    field = hull_of(bowls_orbit)
    assert bool((floor_below(field, field, CONFIG) > 100).all())


def test_a_vessel_of_one_colour_is_emptied_by_its_normals() -> None:
    solid = Solid(distance=bowl, colour=plain(0.8, 0.7, 0.6))
    orbit = photograph(solid, size=64, num_frames=16, elevation=0.45)
    config = FitConfig(num_steps=80, rays_a_step=2048)
    field = finish(fit(orbit, config, torch.Generator().manual_seed(0)))
    grid = torch.stack(torch.meshgrid(*[torch.linspace(-0.6, 0.6, 40)] * 3, indexing="ij"), -1)
    hollow = (HOLE(grid) < -0.08) & (grid[..., 1] < 0.1)
    assert float((field.signed_distance(grid[hollow]) < 0).float().mean()) < 0.1
