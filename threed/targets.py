"""What a fit is held to: rays with the colours, alphas and normals that frames show along them."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from threed.band import Band, SparseMap, interpolation, narrow_band
from threed.cameras import camera_rays
from threed.field import Field
from threed.orbit import OrbitVideo
from threed.sampling import RaySamples, march
from threed.shading import Shading, shading_of


@dataclass(frozen=True, kw_only=True)
class RayTargets:
    """Rays and what the frames say they see; premultiplied."""

    origins: Float[Tensor, "ray 3"]
    directions: Float[Tensor, "ray 3"]
    albedo: Float[Tensor, "ray 3"]
    alpha: Float[Tensor, " ray"]
    normals: Float[Tensor, "ray 3"] | None
    weight: Float[Tensor, " ray"]
    """How much each ray counts."""
    squared: bool = False
    """Whether the loss is half the squared difference, not one that forgives outliers."""
    shading: Shading | None = None
    """What the colours say of light, where that is to be listened to."""

    def __len__(self) -> int:
        return self.alpha.shape[0]

    def select(self, index: Int[Tensor, " chosen"]) -> "RayTargets":
        """Return the chosen rays."""
        return RayTargets(
            origins=self.origins[index],
            directions=self.directions[index],
            albedo=self.albedo[index],
            alpha=self.alpha[index],
            normals=None if self.normals is None else self.normals[index],
            weight=self.weight[index],
            squared=self.squared,
            shading=None if self.shading is None else self.shading.select(index),
        )


def ray_targets(
    orbit: OrbitVideo,
    weight: Float[Tensor, "frame height width"] | None = None,
    *,
    squared: bool = False,
    shaded: bool = False,
) -> RayTargets:
    """Return every pixel of a video as a ray with its target; all count alike without weights.

    Args:
        orbit: The video.
        weight: How much each pixel counts.
        squared: Whether outliers are not forgiven.
        shaded: Whether the colours' light is listened to.
    """
    origins, directions = camera_rays(orbit.cameras)
    return RayTargets(
        origins=origins.reshape(-1, 3),
        directions=directions.reshape(-1, 3),
        albedo=orbit.albedo.reshape(-1, 3),
        alpha=orbit.alpha.reshape(-1),
        normals=None if orbit.normals is None else orbit.normals.reshape(-1, 3),
        weight=torch.ones_like(orbit.alpha).reshape(-1) if weight is None else weight.reshape(-1),
        squared=squared,
        shading=shading_of(orbit) if shaded else None,
    )


def cull(field: Field, targets: RayTargets, *, band: float = 8.0) -> RayTargets:
    """Return the rays that count and pass within a band (voxels) of the field's surface."""
    targets = targets.select((targets.weight > 0.01).nonzero()[:, 0])
    if len(targets) == 0:
        return targets
    samples = march(
        field, targets.origins, targets.directions, band=band, step=0.5 * band, generator=None
    )
    return targets.select(samples.ray.unique())


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rays with their samples and the map from the narrow band to these."""

    targets: RayTargets
    samples: RaySamples
    at_samples: SparseMap


def draw_batches(
    field: Field,
    sources: list[RayTargets],
    *,
    num_batches: int,
    num_rays: int,
    band_width: float,
    step: float,
    generator: torch.Generator,
) -> tuple[Band, list[Batch]]:
    """Return batches of rays drawn at random, sources in turn, and the vertices they touch.

    Args:
        field: Where to march.
        sources: What to draw from; each gives `num_batches`.
        num_batches: Batches a source.
        num_rays: Rays a batch.
        band_width: Greatest distance of a sample from the surface, voxels.
        step: Spacing of samples, voxels.
        generator: Draws the rays and shifts their samples.
    """
    drawn = []
    for _ in range(num_batches):
        for targets in sources:
            rows = torch.randint(len(targets), (num_rays,), generator=generator)
            drawn.append(targets.select(rows.to(targets.alpha.device)))
    marched = [
        march(
            field,
            targets.origins,
            targets.directions,
            band=band_width,
            step=step,
            generator=generator,
        )
        for targets in drawn
    ]
    band, maps = narrow_band(field, [interpolation(field, s.points) for s in marched])
    return band, [
        Batch(targets=targets, samples=samples, at_samples=at_samples)
        for targets, samples, at_samples in zip(drawn, marched, maps, strict=True)
    ]
