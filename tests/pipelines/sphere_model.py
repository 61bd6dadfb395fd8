"""A real video model in miniature: it knows how to draw one thing, a sphere, from any camera."""

from collections.abc import Generator

import torch
from torch.nn import functional as F

from pipelines.models.protocol import Abilities, KnownName, SamplerStep
from pipelines.request import GenerationRequest
from threed.cameras import Cameras, camera_rays, orbit_cameras
from threed.orbit import OrbitVideo

RADIUS = 0.6


def draw_sphere(cameras: Cameras, tint: torch.Tensor) -> OrbitVideo:
    """Return a sphere about the origin, its tint turning with the direction, ray by ray."""
    origins, directions = camera_rays(cameras)
    along = (origins * directions).sum(-1)
    discriminant = along.square() - origins.square().sum(-1) + RADIUS**2
    hit = (discriminant > 0).float()
    distance = -along - discriminant.clamp(min=0).sqrt()
    normals = F.normalize(origins + distance[..., None] * directions, dim=-1)
    albedo = (0.3 + 0.4 * tint + 0.3 * normals).clamp(0, 1)
    return OrbitVideo(
        albedo=albedo * hit[..., None], alpha=hit, normals=normals * hit[..., None], cameras=cameras
    )


class SphereModel:
    """Draws a sphere whose tint is the seed's; counts what it is asked, for the tests."""

    def __init__(self) -> None:
        self.num_samples = 0
        self.num_closed = 0
        self.num_denoised = 0
        self.tint = torch.tensor([0.8, 0.3, 0.1])

    @property
    def abilities(self) -> Abilities:
        return Abilities(
            text=True,
            image=False,
            cameras=True,
            alpha=True,
            normals=True,
            edit=False,
            moves=False,
            max_frames=48,
            sizes=(64, 32),
            num_steps=3,
            guidance_scale=1.0,
        )

    def sample(
        self, request: GenerationRequest, generator: torch.Generator
    ) -> Generator[SamplerStep, None, OrbitVideo]:
        self.num_samples += 1
        size = request.size or self.abilities.sizes[0]
        num_steps = request.num_steps or self.abilities.num_steps
        elevation = torch.deg2rad(torch.tensor(request.elevation_deg)).item()
        cameras = orbit_cameras(request.num_frames, size=size, elevation=elevation)
        self.tint = torch.rand(3, generator=generator)
        finished = draw_sphere(cameras, self.tint)
        try:
            for step in range(1, num_steps + 1):
                yield SamplerStep(
                    step=step, num_steps=num_steps, sigma=1 - step / num_steps, preview=finished
                )
        finally:
            self.num_closed += 1
        return finished

    def denoise(
        self,
        clean: OrbitVideo,
        sigma: float,
        request: GenerationRequest,
        generator: torch.Generator,
        num_steps: int,
    ) -> OrbitVideo:
        self.num_denoised += 1
        return draw_sphere(clean.cameras, self.tint)

    def nearest_known(self, prompt: str, count: int) -> list[KnownName]:
        return [KnownName(name="ball", similarity=0.9), KnownName(name="orange", similarity=0.7)]

    def drawn_as(self, request: GenerationRequest) -> str | None:
        return None

    def familiar(self, prompt: str) -> bool:
        return "ball" in prompt
