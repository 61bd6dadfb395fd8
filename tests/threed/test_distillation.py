import math
from dataclasses import replace

import pytest
import torch

from tests.threed.test_fit import finish
from tests.threed.test_hull import sphere_orbit
from threed.cameras import Cameras, camera_angles, camera_rays, orbit_cameras
from threed.distillation import DistillationConfig, distil, new_orbits, unseen
from threed.field import Field
from threed.fit import FitConfig
from threed.hull import HullConfig, hull_field
from threed.orbit import OrbitVideo
from threed.render import surface_points
from threed.targets import cull, ray_targets

CONFIG = DistillationConfig(
    num_rounds=2,
    steps_a_round=8,
    fit=FitConfig(rays_a_step=1000, steps_a_march=8, distance_rate=(0.2, 0.1)),
)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def level_orbit(size: int = 28) -> OrbitVideo:
    """Return a sphere's orbit in which every view looks from forty degrees above."""
    cameras = orbit_cameras(8, size=size, elevation=math.radians(40))
    return sphere_pictures(cameras)


def sphere_pictures(cameras: Cameras) -> OrbitVideo:
    """Return exact pictures of a sphere of radius 0.5 about the origin."""
    origins, directions = camera_rays(cameras)
    along = -(origins * directions).sum(dim=-1)
    miss = (origins + along[..., None] * directions).norm(dim=-1)
    alpha = (0.5 + (0.5 - miss) * cameras.focal[:, None, None] / along).clamp(0, 1)
    point = origins + (along - (0.25 - miss**2).clamp(min=0).sqrt())[..., None] * directions
    normal = torch.nn.functional.normalize(point, dim=-1)
    return OrbitVideo(
        albedo=alpha[..., None] * torch.tensor([0.8, 0.3, 0.2]),
        alpha=alpha,
        normals=alpha[..., None] * normal,
        cameras=cameras,
    )


def hull_of(orbit: OrbitVideo) -> Field:
    return hull_field(orbit, HullConfig(), generator())


def south(field: Field) -> float:
    """Return how far below the sphere's south pole the surface lies."""
    return -float(field.signed_distance(torch.tensor([[0.0, -0.5, 0.0]])).detach())


def test_a_model_that_knows_the_truth_mends_what_nobody_saw() -> None:
    orbit = level_orbit()
    start = hull_of(orbit)
    _, distilled = finish(
        distil(start, orbit, lambda clip, s, g: sphere_pictures(clip.cameras), CONFIG, generator())
    )
    assert south(start) > 0.05
    finished = distilled.field
    assert abs(south(finished)) < 0.8 * south(start)
    # The field that came in is left as it was.
    assert torch.equal(start.distance, hull_of(orbit).distance)


def test_a_model_that_agrees_with_the_field_hardly_moves_it() -> None:
    orbit = level_orbit()
    start = hull_of(orbit)
    config = replace(CONFIG, fit=replace(CONFIG.fit, distance_rate=(0.02, 0.02)))
    _, finished = finish(distil(start, orbit, lambda clip, s, g: clip, config, generator()))
    assert abs(south(finished.field) - south(start)) < 0.02


def test_a_model_that_ruins_the_input_is_put_back() -> None:
    orbit = level_orbit()
    start = hull_of(orbit)

    def nothing(clip: OrbitVideo, sigma: float, generator: torch.Generator) -> OrbitVideo:
        return replace(clip, albedo=0 * clip.albedo, alpha=0 * clip.alpha, normals=None)

    config = replace(CONFIG, weight=50.0, patience_db=-50.0)
    records, finished = finish(distil(start, orbit, nothing, config, generator()))
    assert len(records) == CONFIG.steps_a_round
    assert torch.equal(finished.field.distance, start.distance)
    # What was put back has taught nothing.
    assert finished.taught == ()


def test_noise_is_annealed_between_the_two_ends() -> None:
    sigmas = []

    def spy(clip: OrbitVideo, sigma: float, generator: torch.Generator) -> OrbitVideo:
        sigmas.append(sigma)
        return clip

    orbit = level_orbit()
    config = replace(CONFIG, num_rounds=3, steps_a_round=1, noise=(0.5, 0.2), patience_db=99.0)
    records, _ = finish(distil(hull_of(orbit), orbit, spy, config, generator()))
    assert sigmas == pytest.approx([0.5, 0.35, 0.2])
    assert [record.step for record in records] == [0, 1, 2]


def test_new_orbits_go_where_the_input_was_not() -> None:
    cameras = level_orbit().cameras
    config = replace(CONFIG, num_rounds=4, elevations_deg=(-25.0, 15.0, 60.0, 80.0))
    orbits = new_orbits(cameras, config, generator())
    elevations = [round(float(camera_angles(o)[1].rad2deg().mean())) for o in orbits]
    assert elevations == [-25, 80, 15, 60]
    for orbit in orbits:
        torch.testing.assert_close(camera_angles(orbit)[2], camera_angles(cameras)[2])


def test_what_was_seen_whole_leaves_no_targets() -> None:
    orbit = sphere_orbit(size=24)
    targets = ray_targets(orbit, torch.zeros_like(orbit.alpha), squared=True)
    assert len(cull(hull_of(orbit), targets)) == 0


def test_mask_is_one_where_no_view_looked_and_zero_where_one_faced() -> None:
    orbit = sphere_orbit(size=32)
    field = hull_of(orbit)
    seen = surface_points(field, orbit.cameras)
    same = unseen(seen, orbit.cameras, seen, field)
    assert float(same[seen.hit & (seen.facing > 0.6)].max()) < 0.01
    top = orbit_cameras(1, size=32, elevation=1.5)
    below = orbit_cameras(1, size=32, elevation=-1.5)
    level = level_orbit(32)
    level_field = hull_of(level)
    level_seen = surface_points(level_field, level.cameras)
    from_top, from_below = (
        unseen(surface_points(level_field, c), level.cameras, level_seen, level_field)
        for c in (top, below)
    )
    assert float(from_below[0, 15:17, 15:17].min()) > 0.95
    assert float(from_below.mean()) > 2 * float(from_top.mean())


@pytest.mark.parametrize("bad", [{"noise": (0.0, 0.2)}, {"num_rounds": 0}, {"elevations_deg": ()}])
def test_impossible_settings_are_named(bad: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        DistillationConfig(**bad)
