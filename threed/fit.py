"""From an orbit video to a field: the hull first, then descent on what the frames show."""

import time
from collections.abc import Generator
from copy import deepcopy
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field

import numpy as np
import torch
from jaxtyping import UInt8
from torch.nn import functional as F

from threed.adam import Adam, spread
from threed.band import Band
from threed.carving import CarvingConfig, carve_hollows, first_layers
from threed.errors import ReconstructionError
from threed.field import Field
from threed.hollows import HollowConfig, empty_to_walls, floor_below, opens_upwards, truer
from threed.hull import ADVICE, HullConfig, close_border, doubled, finer, hull_field, redistance
from threed.losses import LossConfig, loss_for, picture_loss, shading_loss, surface_loss
from threed.orbit import OrbitVideo, shade
from threed.render import BAND_LENGTHS, pixel_sharpness, render_samples, render_views
from threed.shading import Light, solve_light
from threed.targets import Batch, RayTargets, cull, draw_batches, ray_targets
from threed.underside import finish_underside
from threed.upright import Up

# A preview every second, or less often where drawing them would take a tenth of the time.
PREVIEW_SECONDS = 1.0
PREVIEW_SHARE = 0.1
PREVIEW_SIZE = 128


@dataclass(frozen=True, kw_only=True)
class FitStep:
    """One step of a fit, for whoever draws the bar."""

    step: int
    num_steps: int
    loss: float
    preview: UInt8[np.ndarray, "height width 3"] | None
    """The field as it looks now, about once a second."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """How a field is fitted to frames."""

    hull: HullConfig = dataclass_field(default_factory=HullConfig)
    num_steps: int = 230
    """Steps of descent."""
    level_shares: tuple[float, ...] = (0.65, 0.35)
    """Shares of the steps, from the coarsest voxels on; each level's are half as large."""
    rays_a_step: int = 10_240
    """Rays in a step, drawn from those that pass near the object."""
    steps_a_march: int = 12
    """Steps between two marches, which follow the surface and tighten the band."""
    batches_a_march: int = 4
    """Batches of rays drawn at a march and used in turn until the next."""
    coloured_share: float = 0.35
    """Share of a step's rays whose colour is looked up, for a video that has normals."""
    step_length: float = 0.8
    """Spacing of samples, voxels."""
    blur: tuple[float, float] = (3.0, 1.0)
    """Softness of the surface at the start and at the end, in pixels."""
    distance_rate: tuple[float, float] = (0.2, 0.02)
    """Learning rate of the distance at the start and at the end, voxels."""
    colour_rate: tuple[float, float] = (0.01, 0.002)
    """Learning rate of the colour at the start and at the end."""
    average_share: float = 0.25
    """Share of a level's steps, its last, whose mean distance is the level's result: single steps
    leave bumps, along which grazing rays see too much."""
    spread: float = 3.0
    """How far the distance's gradient is smeared out at the start, voxels; none from half way."""
    carving: CarvingConfig | None = dataclass_field(default_factory=CarvingConfig)
    """How hollows are dug that no silhouette shows; None leaves them to the descent."""
    hollows: HollowConfig | None = dataclass_field(default_factory=HollowConfig)
    """How what was carved from above is dug on; None leaves it at the carving."""
    loss: LossConfig | None = None
    """The loss's weights; None chooses them by where the video comes from."""
    flat_underside: bool = True
    """Whether to cut off, level, what no view has seen below all that the views have seen, and
    before that to fill what they allow where nothing but their mattes tells of shape."""
    up: Up = "y"
    """The axis that points up."""

    def __post_init__(self) -> None:
        for name in ("num_steps", "rays_a_step", "steps_a_march", "batches_a_march"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if min(self.level_shares) < 0 or abs(sum(self.level_shares) - 1) > 1e-6:
            raise ValueError(f"level_shares is {self.level_shares}; shares must add up to one")
        if not 0 <= self.average_share <= 1:
            raise ValueError(f"average_share is {self.average_share}; it must lie in [0, 1]")
        for name in ("step_length", *("blur", "distance_rate", "colour_rate")):
            if np.min(getattr(self, name)) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be positive")


def fit(
    orbit: OrbitVideo, config: FitConfig, generator: torch.Generator
) -> Generator[FitStep, None, Field]:
    """Yield a record a step and return the field that explains the video.

    Raises:
        ReconstructionError: The video is no orbit, or its mattes allow no shape.
    """
    if orbit.kind != "orbit":
        raise ReconstructionError(
            "the video is a clip that no rigid object explains; make an orbit instead"
        )
    num_levels = len(config.level_shares)
    field = hull_field(orbit, config.hull, generator, coarseness=2 ** (num_levels - 1))
    # Hollows are large things, dug where voxels are few.
    hull = field.distance.detach() < 0
    taken = torch.zeros_like(hull)
    if config.carving is not None:
        begun = None if orbit.normals is None else first_layers(field, orbit, config.carving)
        taken = carve_hollows(field, orbit, config.carving)
        taken = taken if begun is None else begun
    hollows = config.hollows
    if hollows is not None and not opens_upwards(hull, taken, hollows, config.up):
        hollows = None
    wanted = ray_targets(orbit, shaded=orbit.normals is None)
    bounds = [round(sum(config.level_shares[:n]) * config.num_steps) for n in range(num_levels + 1)]
    again = 0 if hollows is None else bounds[1]

    def level_steps(field: Field, level: int, done: int) -> Generator[FitStep, None, None]:
        targets, steps = cull(field, wanted), range(*bounds[level : level + 2])
        for record in descend(field, [targets], orbit, config, generator, steps):
            step = done + record.step - steps.start
            yield replace(record, step=step, num_steps=config.num_steps + again)
        if config.flat_underside:
            finish_underside(field, orbit, config.hull, config.up)
        if floor is not None:
            with torch.no_grad():
                field.distance.copy_(torch.minimum(field.distance, floor))

    floor = None
    emptied = field if hollows is None else deepcopy(field)
    yield from level_steps(field, 0, 0)
    if hollows is not None:
        # With colours as fresh as the other's were, so that neither has learnt longer.
        with torch.no_grad():
            emptied.distance.copy_(field.distance)
        empty_to_walls(emptied, hull, taken, hollows, config.up)
        floor = floor_below(field, emptied, hollows, config.up)
        try:
            yield from level_steps(emptied, 0, again)
        except ReconstructionError:
            # What was emptied may leave nothing, and then the carved one is the better.
            emptied, floor = field, None
        field = truer(field, emptied, orbit, hollows)
        floor = floor if field is emptied else None
    for level in range(1, num_levels):
        field = finer(field, orbit, config.hull)
        floor = None if floor is None else 2 * doubled(floor)
        yield from level_steps(field, level, again + bounds[level])
    return field


def descend(
    field: Field,
    sources: list[RayTargets],
    orbit: OrbitVideo,
    config: FitConfig,
    generator: torch.Generator,
    steps: range,
) -> Generator[FitStep, None, None]:
    """Move a field towards its targets, a record a step; it ends closed and a true distance.

    Args:
        field: What is moved.
        sources: Targets, taken in turn.
        orbit: Its cameras say how large a pixel is, and previews are drawn from them.
        config: Rates and softness run over `config.num_steps`.
        generator: Draws the rays.
        steps: Which of these steps to do.

    Raises:
        ReconstructionError: Nothing is left of the surface.
    """
    weights = config.loss or loss_for(orbit)
    final = pixel_sharpness(field, orbit.cameras)
    # The gradients are sums over rays, so the distance's floor leaves alone what few rays graze.
    shape = Adam([field.distance], floor=1e-3)
    colour = Adam([*field.planes.parameters(), *field.colour.parameters()], floor=1e-8)
    next_preview = time.monotonic() + PREVIEW_SECONDS
    num_averaged = max(1, round(config.average_share * len(steps)))
    average = torch.zeros_like(field.distance)
    for step in steps:
        progress = step / max(1, config.num_steps - 1)
        sharpness = final / _anneal(config.blur, progress)
        if (step - steps.start) % config.steps_a_march == 0:
            if step > steps.start:
                _refresh(field)
            band, batches = draw_batches(
                field,
                sources,
                num_batches=config.batches_a_march,
                num_rays=config.rays_a_step,
                band_width=BAND_LENGTHS / sharpness,
                step=config.step_length,
                generator=generator,
            )
            light = _light(field, band, batches, sharpness)
        batch = batches[step % len(batches)]
        weight = _anneal(weights.shading_weight, progress)
        loss = _accumulate(field, band, batch, config, weights, sharpness, light, weight)
        width = round(config.spread * (1 - 2 * progress))
        if width > 0:
            field.distance.grad = spread(field.distance.grad, width)  # pyright: ignore[reportArgumentType]
        shape.step(_anneal(config.distance_rate, progress))
        colour.step(_anneal(config.colour_rate, progress))
        if step >= steps.stop - num_averaged:
            average += field.distance.detach() / num_averaged
        preview = None
        started = time.monotonic()
        if started > next_preview:
            preview = preview_frame(field, orbit, step)
            ended = time.monotonic()
            next_preview = ended + max(PREVIEW_SECONDS, (ended - started) / PREVIEW_SHARE)
        yield FitStep(step=step, num_steps=config.num_steps, loss=loss, preview=preview)
    if len(steps) > 0:
        with torch.no_grad():
            field.distance.copy_(average)
    _refresh(field)
    if not bool((field.distance < 0).any()):
        raise ReconstructionError(f"the frames agree on no surface: {ADVICE}")


def _anneal(ends: tuple[float, float], progress: float) -> float:
    """Return the value on the way from one end to the other, by equal factors; 0 stays 0."""
    return ends[0] * (ends[1] / ends[0]) ** progress if ends[0] else 0.0


def _refresh(field: Field) -> None:
    with torch.no_grad():
        field.distance.copy_(close_border(redistance(field.distance)))


def _light(field: Field, band: Band, batches: list[Batch], sharpness: float) -> Light | None:
    """Return the light that the batches' rays are in, as the field turns its surface now.

    None where no ray that meets a settled surface has a colour that tells of light.
    """
    normals, shadings = [], []
    for batch in batches:
        if batch.targets.shading is None:
            continue
        with torch.no_grad():
            table, _ = band.values(field)
            values = batch.at_samples(table)
            seen = render_samples(field, values, batch.samples, sharpness, num_coloured=0)
        settled = (seen.normals.norm(dim=-1) > 0.5).nonzero()[:, 0]
        normals.append(F.normalize(seen.normals[settled], dim=-1))
        shadings.append(batch.targets.shading.select(settled))
    lit = any(bool((shading.material >= 0).any()) for shading in shadings)
    return solve_light(shadings, torch.cat(normals)) if lit else None


def _accumulate(
    field: Field,
    band: Band,
    batch: Batch,
    config: FitConfig,
    weights: LossConfig,
    sharpness: float,
    light: Light | None,
    shading_weight: float,
) -> float:
    """Add the loss's gradients to the field's and return the pictures' part of it, a ray."""
    table, bend = band.values(field)
    values = batch.at_samples(table)
    # With normals to hold the shape, colours may be looked up for a part of the rays alone.
    share = config.coloured_share if batch.targets.normals is not None else 1.0
    num_coloured = max(1, round(share * len(batch.targets)))
    seen = render_samples(field, values, batch.samples, sharpness, num_coloured=num_coloured)
    data = picture_loss(seen, batch.targets, num_coloured, weights)
    shading = shading_weight * shading_loss(seen, batch.targets, light)
    loss = data + shading + surface_loss(table, bend, weights)
    loss.backward()
    return float(data.detach()) / len(batch.targets)


def preview_frame(
    field: Field, orbit: OrbitVideo, step: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Return one frame of the field as a viewer sees it, the view moving on with the steps."""
    cameras = orbit.cameras[[(step // 8) % orbit.num_frames]]
    scale = min(1.0, PREVIEW_SIZE / max(cameras.width, cameras.height))
    cameras = cameras.resized(round(cameras.width * scale), round(cameras.height * scale))
    seen = render_views(field, cameras)
    # Light that is baked into the frames must not be put on a second time.
    colour = seen.albedo if orbit.normals is None else shade(seen.albedo, seen.normals)  # pyright: ignore[reportArgumentType]
    frame = (colour + 1 - seen.alpha[..., None]).clamp(0, 1)[0]
    return (frame * 255).round().byte().cpu().numpy()
