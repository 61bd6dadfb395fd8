"""Multi-view score distillation: a video model's opinion of views that the input never showed.

A whole new orbit of the field is rendered as one clip, noised lightly and denoised by the model;
the field is then pulled towards that clean estimate, which is a constant. For rectified flow the
loss is half the squared difference (Poole et al. 2022, with the clean estimate for the noise), and
no gradient passes through the model. What the input saw well is masked out of the new orbit, as in
SV3D (Voleti et al. 2024, section 4.3), and the input's own frames stay in the loss.
"""

import copy
import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from threed.cameras import Cameras, camera_angles, orbit_cameras, project
from threed.field import Field
from threed.fit import FitConfig, FitStep, descend
from threed.losses import DRAWN
from threed.metrics import psnr_in_box
from threed.orbit import OrbitVideo
from threed.render import SurfacePoints, render_views, surface_points, views_and_surface
from threed.targets import RayTargets, cull, ray_targets

Denoise = Callable[[OrbitVideo, float, torch.Generator], OrbitVideo]


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """How a fitted field is finished by a video model."""

    num_rounds: int = 1
    """Orbits rendered, denoised and learnt from, one after another."""
    steps_a_round: int = 24
    """Steps of descent on each."""
    noise: tuple[float, float] = (0.95, 0.8)
    """Sigma of the first and of the last round, 0 is clean. A side that no frame showed is a guess
    of the field's, of which light noise would leave most."""
    elevations_deg: tuple[float, ...] = (-25.0, -10.0, 10.0, 30.0, 50.0)
    """Elevations to choose from: those farthest from the input's come first."""
    weight: float = 0.7
    """What a pixel of the new orbit counts that the input has not seen."""
    patience_db: float = 1.0
    """How much agreement with the input may be lost before the field is put back; then it ends."""
    fit: FitConfig = dataclass_field(
        default_factory=lambda: FitConfig(
            loss=DRAWN,
            rays_a_step=6144,
            blur=(1.0, 1.0),
            distance_rate=(0.02, 0.01),
            colour_rate=(0.008, 0.003),
        )
    )
    """How the field descends; its number of steps is not used. Larger steps of the distance would
    unsettle what the input has shaped; colours are learnt anew."""

    def __post_init__(self) -> None:
        if self.num_rounds < 1 or self.steps_a_round < 1:
            raise ValueError("num_rounds and steps_a_round must be at least 1")
        if not all(0 < sigma <= 1 for sigma in self.noise):
            raise ValueError(f"noise is {self.noise}; both must lie in (0, 1]")
        if not self.elevations_deg or max(map(abs, self.elevations_deg)) > 90:
            raise ValueError(f"elevations_deg is {self.elevations_deg}; some within 90 degrees")


@dataclass(frozen=True, kw_only=True)
class Distilled:
    """A finished field and where it was taught."""

    field: Field
    taught: tuple[Cameras, ...]
    """The new orbits that it has learnt from; none where it was put back."""


def distil(
    field: Field,
    orbit: OrbitVideo,
    denoise: Denoise,
    config: DistillationConfig,
    generator: torch.Generator,
) -> Generator[FitStep, None, Distilled]:
    """Yield a record a step and return the finished field, which is a new one.

    Args:
        field: Fitted to the orbit; left as it is.
        orbit: The input's frames, whose cameras turn about the origin.
        denoise: Takes a clean clip with its cameras and sigma, adds that noise itself and returns
            its clean estimate.
        config: Rounds and their strength.
        generator: Draws everything.
    """
    field = copy.deepcopy(field)
    num_steps = config.num_rounds * config.steps_a_round
    fit_config = replace(config.fit, num_steps=num_steps)
    seen = surface_points(field, orbit.cameras)
    inputs = cull(field, ray_targets(orbit))
    agreement = input_agreement(field, orbit)
    taught: list[Cameras] = []
    for number, cameras in enumerate(new_orbits(orbit.cameras, config, generator)):
        before = copy.deepcopy(field.state_dict())
        part = number / max(1, config.num_rounds - 1)
        sigma = config.noise[0] + (config.noise[1] - config.noise[0]) * part
        targets = estimate(field, orbit, seen, cameras, denoise, sigma, config, generator)
        sources = [inputs, targets] if len(targets) else [inputs]
        first = number * config.steps_a_round
        steps = range(first, first + config.steps_a_round)
        yield from descend(field, sources, orbit, fit_config, generator, steps)
        if input_agreement(field, orbit) < agreement - config.patience_db:
            field.load_state_dict(before)
            break
        taught.append(cameras)
    return Distilled(field=field, taught=tuple(taught))


def write_taught(path: Path, taught: tuple[Cameras, ...]) -> None:
    """Write the cameras of new orbits into one safetensors file."""
    tensors = {}
    for number, cameras in enumerate(taught):
        tensors[f"{number}.c2w"] = cameras.c2w.contiguous().cpu()
        tensors[f"{number}.fov_y"] = cameras.fov_y.contiguous().cpu()
        tensors[f"{number}.size"] = torch.tensor([cameras.width, cameras.height])
    save_file(tensors, path)


def read_taught(path: Path) -> tuple[Cameras, ...]:
    """Return what `write_taught` wrote, on the CPU."""
    tensors = load_file(path)
    taught = []
    for number in range(len(tensors) // 3):
        width, height = tensors[f"{number}.size"].tolist()
        c2w, fov_y = tensors[f"{number}.c2w"], tensors[f"{number}.fov_y"]
        taught.append(Cameras(c2w=c2w, fov_y=fov_y, width=width, height=height))
    return tuple(taught)


def new_orbits(
    cameras: Cameras, config: DistillationConfig, generator: torch.Generator
) -> list[Cameras]:
    """Return one orbit a round, like the input's but at elevations that it did not see.

    The first lies farthest from the input's elevations; each later one also shuns those before it.
    """
    azimuth, elevation, radius = camera_angles(cameras)
    seen = elevation.rad2deg().tolist()
    orbits = []
    for _ in range(config.num_rounds):
        chosen = max(config.elevations_deg, key=lambda e: min(abs(e - other) for other in seen))
        seen.append(chosen)
        # A new start, so that azimuths too lie between those that were seen.
        shift = float(torch.rand((), generator=generator)) * 2 * math.pi / len(cameras)
        orbits.append(
            Cameras(
                c2w=orbit_cameras(
                    len(cameras),
                    size=cameras.width,
                    elevation=math.radians(chosen),
                    start_azimuth=float(azimuth[0]) + shift,
                    radius=float(radius.median()),
                ).c2w.to(cameras.c2w),
                fov_y=cameras.fov_y.median().expand(len(cameras)),
                width=cameras.width,
                height=cameras.height,
            )
        )
    return orbits


def estimate(
    field: Field,
    orbit: OrbitVideo,
    seen: SurfacePoints,
    cameras: Cameras,
    denoise: Denoise,
    sigma: float,
    config: DistillationConfig,
    generator: torch.Generator,
) -> RayTargets:
    """Return the model's clean estimate of a new orbit as targets, where the input has no say."""
    rendered, surface = views_and_surface(field, cameras)
    clean = denoise(rendered, sigma, generator).to(rendered.alpha.device)
    weight = config.weight * unseen(surface, orbit.cameras, seen, field)
    targets = ray_targets(
        OrbitVideo(
            albedo=clean.albedo.detach(),
            alpha=clean.alpha.detach(),
            # Without normals in the input its light is baked, and a normal would not match it.
            normals=None if orbit.normals is None or clean.normals is None else clean.normals,
            cameras=cameras,
        ),
        weight,
        squared=True,
    )
    return cull(field, targets)


def unseen(
    points: SurfacePoints, cameras: Cameras, seen: SurfacePoints, field: Field
) -> Float[Tensor, "view height width"]:
    """Return how little the input saw of each pixel's surface: 0 faced by some view, 1 by none.

    One minus the smoothstep, from 0 to 0.5, of the best cosine between the surface's normal and
    the way to an input camera that sees it. Pixels without a surface are 0: mattes have spoken.

    Args:
        points: Surface in the new views.
        cameras: Cameras of the input.
        seen: Surface in the input's views, which tells what hides what.
        field: Gives the scale.
    """
    weight = torch.zeros_like(points.facing)
    position, normal = points.points[points.hit], points.normals[points.hit]
    best = torch.zeros_like(position[:, 0])
    pixel, depth = project(position, cameras)
    limit = pixel.new_tensor([cameras.width - 1, cameras.height - 1])
    place = torch.minimum(pixel.floor().clamp(min=0), limit).long()
    inside = (depth > 0) & (place == pixel.floor().long()).all(dim=-1)
    for view in range(len(cameras)):
        column, row = place[view].unbind(-1)
        way = cameras.c2w[view, :3, 3] - position
        length = way.norm(dim=-1)
        front = (cameras.c2w[view, :3, 3] - seen.points[view, row, column]).norm(dim=-1)
        visible = inside[view] & seen.hit[view, row, column] & (length < front + 3 * field.voxel)
        facing = (normal * way).sum(dim=-1) / length
        best = torch.maximum(best, torch.where(visible, facing, torch.zeros_like(facing)))
    ramp = (best / 0.5).clamp(0, 1)
    weight[points.hit] = 1 - ramp.square() * (3 - 2 * ramp)
    return weight


def input_agreement(field: Field, orbit: OrbitVideo) -> float:
    """Return the mean PSNR of some of the input's views, inside their boxes, dB."""
    some = orbit.select(list(range(0, orbit.num_frames, max(1, orbit.num_frames // 6))))
    return float(psnr_in_box(render_views(field, some.cameras), some).mean())
