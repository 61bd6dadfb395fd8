import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from tests.threed.test_hull import sphere_orbit
from threed.orbit import OrbitVideo, shade
from threed.shading import (
    NUM_MATERIALS,
    Shading,
    basis,
    shading_of,
    shading_residual,
    solve_light,
)

COUNT = 4000


def unit_normals(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(COUNT, 3, generator=generator), dim=-1)


def turned(seed: int) -> torch.Tensor:
    """Return a rotation a ray, of twelve cameras."""
    generator = torch.Generator().manual_seed(seed)
    rotations = torch.linalg.qr(torch.randn(12, 3, 3, generator=generator)).Q
    return rotations[torch.arange(COUNT) % 12]


def lit(normals: torch.Tensor, rotation: torch.Tensor, *, still: str) -> torch.Tensor:
    """Return the brightness under the display's light, which stands with the object or camera."""
    seen = normals if still == "object" else (rotation @ normals[..., None])[..., 0]
    return shade(torch.full_like(normals, 0.6), seen)[:, 0]


@pytest.mark.parametrize("still", ["object", "camera"])
def test_brightness_of_two_materials_is_explained_by_one_light(still: str) -> None:
    normals, rotation = unit_normals(0), turned(1)
    material = torch.arange(COUNT) % 2
    luminance = lit(normals, rotation, still=still) * torch.where(material == 0, 1.0, 0.3)
    shading = Shading(luminance=luminance, material=material, rotation=rotation)
    light = solve_light([shading], normals)
    assert_close(light.scale[1] / light.scale[0], torch.tensor(0.3), atol=0.01, rtol=0)
    residual, confidence = shading_residual(normals, shading, light)
    # The key light's edge is sharper than harmonics of the second order.
    assert float(residual.abs().mean()) < 0.03
    assert float(confidence.min()) > 0.9


def test_light_is_found_though_a_third_of_the_normals_are_wrong() -> None:
    normals, rotation = unit_normals(0), turned(1)
    luminance = lit(normals, rotation, still="object")
    material = torch.zeros(COUNT, dtype=torch.long)
    shading = Shading(luminance=luminance, material=material, rotation=rotation)
    guessed = torch.where(torch.arange(COUNT)[:, None] % 3 == 0, unit_normals(5), normals)
    light = solve_light([shading], guessed)
    residual, _ = shading_residual(normals, shading, light)
    assert float(residual.abs().mean()) < 0.06
    # A turn towards the truth is a turn towards less residual.
    wrong, _ = shading_residual(guessed, shading, light)
    assert float(wrong[::3].abs().mean()) > 3 * float(residual[::3].abs().mean())


@pytest.mark.parametrize("kind", ["unlit", "painted"])
def test_what_the_light_does_not_explain_has_no_say(kind: str) -> None:
    normals, rotation = unit_normals(0), turned(1)
    generator = torch.Generator().manual_seed(3)
    noise = torch.rand(COUNT, generator=generator)
    luminance = 0.5 + (0.4 * (noise - 0.5) if kind == "painted" else 0.001 * noise)
    material = torch.zeros(COUNT, dtype=torch.long)
    shading = Shading(luminance=luminance, material=material, rotation=rotation)
    light = solve_light([shading], normals)
    _, confidence = shading_residual(normals, shading, light)
    assert float(confidence.max()) == 0


def test_rays_without_a_material_have_no_say() -> None:
    normals, rotation = unit_normals(0), turned(1)
    material = torch.where(torch.arange(COUNT) % 2 == 0, 0, -1)
    luminance = torch.where(material == 0, lit(normals, rotation, still="object"), 7.0)
    shading = Shading(luminance=luminance, material=material, rotation=rotation)
    _, confidence = shading_residual(normals, shading, solve_light([shading], normals))
    assert bool((confidence[material < 0] == 0).all())
    assert float(confidence[material == 0].min()) > 0.9


def test_the_harmonics_are_orthogonal_over_the_sphere() -> None:
    normals = unit_normals(7).repeat(2, 1)
    terms = basis(torch.cat([normals, -normals]), torch.eye(3).expand(len(normals) * 2, 3, 3))
    world = terms[:, :9]
    product = world.T @ world / len(world)
    off = product - product.diag().diag()
    assert float(off.abs().max()) < 0.05


def test_shading_leaves_the_material_alone_and_the_rim_says_nothing() -> None:
    orbit = sphere_orbit(size=32)
    assert orbit.normals is not None
    colour = torch.where(
        orbit.normals[..., :1] > 0, torch.tensor([0.8, 0.2, 0.2]), torch.tensor([0.2, 0.3, 0.8])
    )
    albedo = shade(colour * orbit.alpha[..., None], orbit.normals)
    shading = shading_of(
        OrbitVideo(albedo=albedo, alpha=orbit.alpha, normals=None, cameras=orbit.cameras)
    )
    assert bool((shading.material[orbit.alpha.reshape(-1) < 0.9] == -1).all())
    red = (albedo[..., 0] > albedo[..., 2]).reshape(-1)
    told = shading.material >= 0
    reds, blues = shading.material[told & red].unique(), shading.material[told & ~red].unique()
    assert len(reds) and len(blues)
    assert not set(reds.tolist()) & set(blues.tolist())
    assert int(shading.material.max()) < NUM_MATERIALS
