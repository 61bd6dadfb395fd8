"""Solids with a known distance and colour, and exact pictures of them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from threed.cameras import Cameras, camera_rays, orbit_cameras
from threed.orbit import OrbitVideo
from threed.rasterize import average_samples

Function = Callable[[Tensor], Tensor]


@dataclass(frozen=True, kw_only=True)
class Solid:
    """A field in closed form."""

    distance: Function
    colour: Function
    reach: float = 1.0
    """Half the side of the box that holds it."""
    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def bounds(self) -> Tensor:
        centre = torch.tensor(self.centre)
        return torch.stack([centre - self.reach, centre + self.reach])

    def signed_distance(self, points: Tensor) -> Tensor:
        return self.distance(points)

    def albedo(self, points: Tensor) -> Tensor:
        return self.colour(points)


def ball(radius: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Function:
    return lambda points: (points - points.new_tensor(centre)).norm(dim=-1) - radius


def box(half: float) -> Function:
    def distance(points: Tensor) -> Tensor:
        beyond = points.abs() - half
        return beyond.clamp(min=0).norm(dim=-1) + beyond.amax(dim=-1).clamp(max=0)

    return distance


def union(*parts: Function) -> Function:
    return lambda points: torch.stack([part(points) for part in parts]).amin(dim=0)


def plain(*colour: float) -> Function:
    return lambda points: points.new_tensor(colour).expand_as(points)


SIDES = torch.tensor(
    [
        [[0.9, 0.1, 0.1], [0.1, 0.8, 0.8]],
        [[0.2, 0.9, 0.2], [0.8, 0.2, 0.8]],
        [[0.1, 0.2, 0.9], [0.9, 0.8, 0.1]],
    ]
)
"""Colours of a cube's sides: axis, then +, -."""


def by_side(points: Tensor) -> Tensor:
    axis = points.abs().argmax(dim=-1)
    value = points.gather(-1, axis[..., None])[..., 0]
    return SIDES.to(points)[axis, (value < 0).long()]


def photograph(
    solid: Solid, *, size: int = 64, num_frames: int = 12, elevation: float = 0.3, samples: int = 2
) -> OrbitVideo:
    """Return an orbit of a solid by sphere tracing, several rays a pixel."""
    return photograph_from(
        solid, orbit_cameras(num_frames, size=size, elevation=elevation), samples
    )


def photograph_from(solid: Solid, cameras: Cameras, samples: int = 2) -> OrbitVideo:
    """Return what square cameras see of a solid."""
    num_frames, size = len(cameras), cameras.width
    origins, directions = camera_rays(cameras.resized(samples * size, samples * size))
    origins, directions = origins.reshape(-1, 3), directions.reshape(-1, 3)
    way = torch.zeros(len(origins))
    active = torch.arange(len(origins))
    for _ in range(60):
        distance = solid.signed_distance(origins[active] + way[active, None] * directions[active])
        way[active] += distance
        active = active[(distance > 1e-4) & (way[active] < 6)]
    points = origins + way[:, None] * directions
    hit = (solid.signed_distance(points) < 2e-3) & (way < 6)
    with torch.enable_grad():
        place = points.clone().requires_grad_()
        (slope,) = torch.autograd.grad(solid.signed_distance(place).sum(), place)
    layers = torch.cat([solid.albedo(points), slope, torch.ones_like(way)[:, None]], dim=-1)
    layers = (layers * hit[:, None]).view(num_frames, samples * size, samples * size, 7)
    frames = average_samples(layers, samples)
    return OrbitVideo(
        albedo=frames[..., :3], normals=frames[..., 3:6], alpha=frames[..., 6], cameras=cameras
    )
