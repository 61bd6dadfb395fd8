"""What the shading of a filmed clip says of the surface: light from colours, normals from light.

A clip without normals shows colours with their light baked in. Where one material covers much of
the object, its brightness tells how the surface is turned, also inside a hollow that no silhouette
shows. The light is a sum of spherical harmonics to the second order (Ramamoorthi and Hanrahan 2001:
within 1 % of any distant light on a matte surface), part of it still in the world, as for an object
that is walked around, and part still before the camera, as for one on a turntable. Materials are
told apart by chromaticity, which shading leaves alone. A material whose brightness the light does
not explain, such as a painted picture, has no say.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from threed.orbit import OrbitVideo
from threed.render import SurfacePoints

NUM_MATERIALS = 6
# Rays from which the light is solved that whole frames show; more change nothing.
LIGHT_RAYS = 16_384
# Frames tell of shape where the light is believed at so much of what they show.
TOLD_SHARE = 0.5
# Colours darker than this have no chromaticity to speak of.
DARKEST = 0.04
LUMINANCE = (0.299, 0.587, 0.114)
# Share of a material's variance that the light must explain to be heard at all, and to be believed.
HEARD, BELIEVED = 0.3, 0.7
# Variance of brightness, relative to its mean, below which there is nothing to explain.
FLAT = 0.02**2
RIDGE = 1e-3


@dataclass(frozen=True, kw_only=True)
class Shading:
    """What rays say of light: brightness and whose."""

    luminance: Float[Tensor, " ray"]
    material: Int[Tensor, " ray"]
    """Index below NUM_MATERIALS, or -1 where the colour says nothing."""
    rotation: Float[Tensor, "ray 3 3"]
    """Turns world directions into those of the ray's camera."""

    def select(self, index: Int[Tensor, " chosen"]) -> "Shading":
        """Return that of the chosen rays."""
        return Shading(
            luminance=self.luminance[index],
            material=self.material[index],
            rotation=self.rotation[index],
        )


@dataclass(frozen=True, kw_only=True)
class Light:
    """Distant light, and how far each material can be believed to show it."""

    coefficients: Float[Tensor, " term"]
    scale: Float[Tensor, " material"]
    """Brightness of each material in average light."""
    confidence: Float[Tensor, " material"]
    """From 0, not heard, to 1."""


def shading_of(orbit: OrbitVideo) -> Shading:
    """Return each pixel's brightness and material; pixels on the mattes' rim say nothing."""
    inner = -F.max_pool2d(-orbit.alpha[:, None], 3, stride=1, padding=1)[:, 0]
    colours = (orbit.albedo / orbit.alpha.clamp(min=0.05)[..., None]).clamp(0, 1).reshape(-1, 3)
    luminance = colours @ colours.new_tensor(LUMINANCE)
    told = (inner.reshape(-1) > 0.95) & (luminance > DARKEST) & (colours.amax(dim=-1) < 0.995)
    material = torch.full_like(told, -1, dtype=torch.long)
    if bool(told.any()):
        chroma = colours[told] / colours[told].sum(dim=-1, keepdim=True)
        material[told] = _clusters(chroma, NUM_MATERIALS)
    size = orbit.alpha.shape[1] * orbit.alpha.shape[2]
    rotation = orbit.cameras.c2w[:, :3, :3].mT.repeat_interleave(size, dim=0)
    return Shading(luminance=luminance, material=material, rotation=rotation)


def _clusters(values: Float[Tensor, "value 3"], count: int) -> Int[Tensor, " value"]:
    """Return k-means clusters, started at those farthest from one another."""
    some = values[:: 1 + len(values) // 20_000]
    centres = some.mean(dim=0, keepdim=True)
    for _ in range(count - 1):
        farthest = torch.cdist(some, centres).amin(dim=1).argmax()
        centres = torch.cat([centres, some[farthest][None]])
    for _ in range(8):
        nearest = torch.cdist(some, centres).argmin(dim=1)
        one_hot = F.one_hot(nearest, count).to(some)
        total = one_hot.sum(dim=0)[:, None]
        centres = torch.where(total > 0, one_hot.T @ some / total.clamp(min=1), centres)
    return torch.cat([torch.cdist(chunk, centres).argmin(dim=1) for chunk in values.split(1 << 18)])


def basis(
    normals: Float[Tensor, "ray 3"], rotation: Float[Tensor, "ray 3 3"]
) -> Float[Tensor, "ray term"]:
    """Return the harmonics to the second order in the world and, but the constant, the camera."""
    seen = (rotation @ normals[..., None])[..., 0]
    terms = [torch.ones_like(normals[:, :1])]
    for directions in (normals, seen):
        x, y, z = directions.unbind(dim=-1)
        second = torch.stack([x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], dim=-1)
        terms += [directions, second]
    return torch.cat(terms, dim=-1)


def solve_light(shadings: list[Shading], normals: Float[Tensor, "ray 3"]) -> Light:
    """Return the light that best explains the brightness of rays with these unit normals.

    Light and materials' scales in turn, by least squares; what fits badly counts less each time.
    """
    shading = Shading(
        luminance=torch.cat([each.luminance for each in shadings]),
        material=torch.cat([each.material for each in shadings]),
        rotation=torch.cat([each.rotation for each in shadings]),
    )
    known = shading.material >= 0
    material, luminance = shading.material[known], shading.luminance[known]
    terms = basis(normals[known], shading.rotation[known])
    member = F.one_hot(material, NUM_MATERIALS).to(luminance)
    count = member.sum(dim=0).clamp(min=1)
    scale = (member.T @ luminance / count).clamp(min=DARKEST)
    trust = torch.ones_like(luminance)
    identity = RIDGE * len(luminance) * torch.eye(terms.shape[1], device=terms.device)
    identity[0, 0] = 0
    for _ in range(4):
        relative = luminance / scale[material]
        weighted = terms * trust[:, None]
        coefficients = torch.linalg.solve(weighted.T @ terms + identity, weighted.T @ relative)
        light = terms @ coefficients
        wrong = relative - light
        spread = wrong.abs().median().clamp(min=1e-3)
        trust = 1 / (1 + (wrong / (3 * spread)).square())
        both = (member * trust[:, None]).T
        scale = (both @ (luminance * light) / (both @ light.square()).clamp(min=1e-6)).clamp(
            min=DARKEST
        )
    relative = luminance / scale[material]
    mean = member.T @ relative / count
    variance = member.T @ (relative - mean[material]).square() / count
    left = member.T @ (relative - light).square() / count
    explained = 1 - left / variance.clamp(min=1e-9)
    confidence = ((explained - HEARD) / (BELIEVED - HEARD)).clamp(0, 1) * (variance > FLAT)
    return Light(coefficients=coefficients, scale=scale, confidence=confidence)


def tells_of_shape(orbit: OrbitVideo, surface: SurfacePoints) -> bool:
    """Return whether the frames show how a surface is turned: by their normals, or their light.

    Args:
        orbit: The frames.
        surface: Where they see it.
    """
    if orbit.normals is not None:
        return True
    shading = shading_of(orbit)
    chosen = ((shading.material >= 0) & surface.hit.reshape(-1)).nonzero()[:, 0]
    if len(chosen) == 0:
        return False
    chosen = chosen[:: 1 + len(chosen) // LIGHT_RAYS]
    shading = shading.select(chosen)
    light = solve_light([shading], surface.normals.reshape(-1, 3)[chosen])
    return float(light.confidence[shading.material].mean()) > TOLD_SHARE


def shading_residual(
    normals: Float[Tensor, "ray 3"], shading: Shading, light: Light
) -> tuple[Float[Tensor, " ray"], Float[Tensor, " ray"]]:
    """Return how much brighter each ray should be, in units of its material, and its weight."""
    index = shading.material.clamp(min=0)
    confidence = light.confidence[index] * (shading.material >= 0)
    expected = basis(normals, shading.rotation) @ light.coefficients
    return shading.luminance / light.scale[index] - expected, confidence
