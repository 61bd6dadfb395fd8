"""From a field to pictures: NeuS's weights on packed samples, and whole clips without gradients."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from threed.band import interpolation, narrow_band
from threed.cameras import Cameras, camera_rays
from threed.field import Field
from threed.kernels import in_parts
from threed.kernels.rendering import end, end_back, see, see_back
from threed.orbit import OrbitVideo
from threed.sampling import RaySamples, march

# The logistic of this sharpness, per pixel, comes nearest to the share of a pixel that an edge at
# some distance leaves covered.
SHARPNESS_A_PIXEL = 5.4
# The logistic is within 0.3 % of its ends at this many of its lengths.
BAND_LENGTHS = 6.0
RAYS_AT_ONCE = 65_536
# A gradient is divided by its length, or by this where it is shorter.
SHORTEST = 1e-3


@dataclass(frozen=True, kw_only=True)
class Rendered:
    """What rays see, premultiplied by their accumulation."""

    albedo: Float[Tensor, "ray 3"]
    accumulation: Float[Tensor, " ray"]
    normals: Float[Tensor, "ray 3"]
    weights: Float[Tensor, " sample"]
    """Probability that a ray ends in the interval behind each sample."""


def surface_weights(
    distance: Float[Tensor, " sample"], samples: RaySamples, sharpness: float | Float[Tensor, ""]
) -> Float[Tensor, " sample"]:
    """Return the probability that a ray ends in the interval behind each sample.

    NeuS (Wang et al. 2021), equation 13: an interval's opacity is the fall of the logistic of the
    distance over it, none where the distance grows. So a ray that misses a surface by d has the
    accumulation logistic(-sharpness * d) if it starts far away.

    Args:
        distance: Signed distance at the samples.
        samples: Which samples are neighbours.
        sharpness: Slope of the logistic, per unit of `distance`.
    """
    log_cdf = F.logsigmoid(distance * sharpness)
    fall = F.pad(log_cdf[1:] - log_cdf[:-1], (0, 1)).clamp(max=0)
    fall = torch.where(samples.joined, fall, torch.zeros_like(fall))
    # One running sum over all rays, less its value where each ray starts; doubles, for it is long.
    after = fall.double().cumsum(dim=0)
    before = after - fall
    start = before[samples.starts[samples.ray]]
    return (torch.exp(before - start) - torch.exp(after - start)).to(distance.dtype)


def sum_over_rays(
    values: Float[Tensor, "sample channel"], samples: RaySamples
) -> Float[Tensor, "ray channel"]:
    """Return each ray's sum of its samples' values."""
    return _RaySum.apply(values, samples.ray, samples.starts)


class _RaySum(torch.autograd.Function):
    """A sum over runs of equal index; scattering additions are far slower on a CPU."""

    @staticmethod
    def forward(ctx, values: Tensor, ray: Tensor, starts: Tensor) -> Tensor:
        ctx.save_for_backward(ray)
        total = F.pad(values.T.double().cumsum(dim=1), (1, 0))
        return total[:, starts].diff(dim=1).T.to(values.dtype)

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        (ray,) = ctx.saved_tensors
        return grad[ray], None, None


def see_samples(
    weights: Float[Tensor, " sample"],
    values: Float[Tensor, "sample 4"],
    albedo: Float[Tensor, "chosen 3"],
    samples: RaySamples,
    chosen: Int[Tensor, " chosen"],
) -> Float[Tensor, "ray 8"]:
    """Return what rays see: colour (3), normal (3), weight with a colour, weight.

    Args:
        weights: Probability that the ray ends behind each sample.
        values: Distance and its gradient at the samples.
        albedo: Colour of the chosen ones.
        samples: Packed samples.
        chosen: Those that have a colour.
    """
    # An interval's value is the mean of its ends; the last sample of a run has no weight.
    gradient = values[:, 1:] + torch.roll(values[:, 1:], -1, dims=0)
    normals = F.normalize(gradient, dim=-1, eps=SHORTEST)
    colours = torch.zeros_like(normals).index_copy(0, chosen, albedo)
    known = torch.zeros_like(weights).index_fill(0, chosen, 1.0)
    whole = torch.ones_like(weights)
    stacked = torch.cat([colours, normals, known[:, None], whole[:, None]], dim=-1)
    return sum_over_rays(weights[:, None] * stacked, samples)


class _End(torch.autograd.Function):
    """What `surface_weights` does of the distances in a table, in one pass there and one back."""

    @staticmethod
    def forward(ctx, values: Tensor, samples: RaySamples, sharpness: float) -> Tensor:
        values = values.detach().contiguous()
        weights, left = values.new_empty(len(samples)), values.new_empty(len(samples))
        starts, joined = samples.starts.numpy(), samples.joined.numpy()
        out = (weights.numpy(), left.numpy())
        _over_rays(lambda some, _: end(values.numpy(), joined, some, sharpness, *out), starts)
        ctx.saved = values.numpy(), starts, sharpness, *out
        return weights

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, None, None]:
        values, starts, sharpness, weights, left = ctx.saved
        out, rows = torch.zeros(values.shape), grad.contiguous().numpy()
        to_values = out.numpy()
        _over_rays(
            lambda some, _: end_back(values, some, sharpness, weights, left, rows, to_values),
            starts,
        )
        return out, None, None


class _See(torch.autograd.Function):
    """What `see_samples` does, in one pass there and one back."""

    @staticmethod
    def forward(
        ctx, weights: Tensor, values: Tensor, albedo: Tensor, samples: RaySamples, chosen: Tensor
    ) -> Tensor:
        seen = weights.new_empty(len(samples.starts) - 1, 8)
        w, v, a = (each.detach().contiguous().numpy() for each in (weights, values, albedo))
        starts, picked, filled = samples.starts.numpy(), chosen.numpy(), seen.numpy()
        floor = np.float32(SHORTEST)
        _over_rays(lambda some, part: see(w, v, some, picked, a, floor, filled[part]), starts)
        ctx.saved = w, v, starts, picked, a
        return seen

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:
        w, v, starts, picked, a = ctx.saved
        grads = (torch.empty(w.shape), torch.zeros(v.shape), torch.empty(a.shape))
        out, rows = [each.numpy() for each in grads], grad.contiguous().numpy()
        floor = np.float32(SHORTEST)
        _over_rays(
            lambda some, part: see_back(w, v, some, picked, a, floor, rows[part], *out), starts
        )
        return *grads, None, None


def _over_rays(work: Callable[[np.ndarray, slice], None], starts: np.ndarray) -> None:
    """Do some rays' work beside that of others, given where the samples of each start."""
    in_parts(lambda part: work(starts[part.start : part.stop + 1], part), len(starts) - 1)


def render_samples(
    field: Field,
    values: Float[Tensor, "sample 4"],
    samples: RaySamples,
    sharpness: float,
    *,
    num_coloured: int | None = None,
    min_weight: float = 0.01,
) -> Rendered:
    """Return what the samples' rays see, with gradients.

    Args:
        field: Gives the colour.
        values: Distance (voxels) and its gradient at the samples.
        samples: Packed samples.
        sharpness: Slope of the logistic, per voxel.
        num_coloured: Rays, from the first on, that get a colour; None is all.
        min_weight: Intervals of less weight get no colour.
    """
    on_cpu = values.device.type == "cpu"
    if on_cpu:
        weights = _End.apply(values, samples, sharpness)
    else:
        weights = surface_weights(values[:, 0], samples, sharpness)
    stop = len(samples) if num_coloured is None else int(samples.starts[num_coloured])
    chosen = (weights.detach()[:stop] > min_weight).nonzero()[:, 0]
    middle = 0.5 * (samples.points[chosen] + samples.points[chosen + 1])
    albedo = field.albedo(middle)
    if on_cpu:
        seen = _See.apply(weights, values, albedo, samples, chosen)
    else:
        seen = see_samples(weights, values, albedo, samples, chosen)
    accumulation = seen[:, 7]
    # Intervals too light to be asked for their colour have that of the others on their ray.
    share = accumulation / seen[:, 6].clamp(min=1e-3)
    return Rendered(
        albedo=seen[:, :3] * share[:, None],
        normals=seen[:, 3:6],
        accumulation=accumulation,
        weights=weights,
    )


def pixel_sharpness(field: Field, cameras: Cameras) -> float:
    """Return the sharpness, per voxel, that covers edges as square pixels are covered."""
    centre = field.bounds.mean(dim=0)
    distance = (cameras.c2w[:, :3, 3] - centre).norm(dim=-1)
    footprint = (distance / cameras.focal).median()
    return SHARPNESS_A_PIXEL * float(field.voxel / footprint)


def render_views(
    field: Field, cameras: Cameras, *, sharpness: float | None = None, step: float = 0.7
) -> OrbitVideo:
    """Return whole frames of the field without gradients.

    Args:
        field: The field.
        cameras: Views to draw.
        sharpness: Slope of the logistic, per voxel; None fits the cameras' pixels.
        step: Spacing of samples, voxels.
    """
    sharpness = pixel_sharpness(field, cameras) if sharpness is None else sharpness
    size = (len(cameras), cameras.height, cameras.width)
    pictures = torch.zeros(*size, 7, device=cameras.c2w.device)
    flat = pictures.reshape(-1, 7)
    for rows, _, seen in _views(field, cameras, sharpness, step):
        flat[rows] = torch.cat([seen.albedo, seen.normals, seen.accumulation[:, None]], dim=-1)
    return OrbitVideo(
        albedo=pictures[..., :3],
        normals=pictures[..., 3:6],
        alpha=pictures[..., 6].clamp(0, 1),
        cameras=cameras,
    )


@dataclass(frozen=True, kw_only=True)
class SurfacePoints:
    """Where the views' rays meet the surface."""

    points: Float[Tensor, "view height width 3"]
    """World positions; meaningless where nothing is hit."""
    normals: Float[Tensor, "view height width 3"]
    """Unit, outward."""
    hit: Bool[Tensor, "view height width"]
    """Whether the ray ends on the surface more likely than not."""
    facing: Float[Tensor, "view height width"]
    """Cosine between the normal and the way back to the camera."""


def surface_points(field: Field, cameras: Cameras, *, step: float = 0.7) -> SurfacePoints:
    """Return where each pixel's ray meets the surface, on average over its weights."""
    return views_and_surface(field, cameras, step=step, num_coloured=0)[1]


def views_and_surface(
    field: Field, cameras: Cameras, *, step: float = 0.7, num_coloured: int | None = None
) -> tuple[OrbitVideo, SurfacePoints]:
    """Return what `render_views` and `surface_points` do, for the cost of one.

    Args:
        field: The field.
        cameras: Views to draw.
        step: Spacing of samples, voxels.
        num_coloured: Rays of a block that get a colour, as `render_samples` takes it.
    """
    size = (len(cameras), cameras.height, cameras.width)
    table = torch.zeros(*size, 10, device=cameras.c2w.device)
    flat = table.reshape(-1, 10)
    sharpness = pixel_sharpness(field, cameras)
    for rows, samples, seen in _views(field, cameras, sharpness, step, num_coloured):
        middle = 0.5 * (samples.points + torch.roll(samples.points, -1, dims=0))
        points = sum_over_rays(seen.weights[:, None] * middle, samples)
        points = points / seen.accumulation.clamp(min=1e-6)[:, None]
        columns = [seen.albedo, seen.normals, seen.accumulation[:, None], points]
        flat[rows] = torch.cat(columns, dim=-1)
    _, directions = camera_rays(cameras)
    views = OrbitVideo(
        albedo=table[..., :3],
        normals=table[..., 3:6],
        alpha=table[..., 6].clamp(0, 1),
        cameras=cameras,
    )
    normals = F.normalize(table[..., 3:6], dim=-1, eps=1e-6)
    surface = SurfacePoints(
        points=table[..., 7:],
        normals=normals,
        hit=table[..., 6] > 0.5,
        facing=-(normals * directions).sum(dim=-1),
    )
    return views, surface


def _views(
    field: Field, cameras: Cameras, sharpness: float, step: float, num_coloured: int | None = None
) -> Iterator[tuple[Int[Tensor, " ray"], RaySamples, Rendered]]:
    """Yield blocks of all pixels of all views, by flat index, without gradients."""
    origins, directions = (rays.reshape(-1, 3) for rays in camera_rays(cameras))
    for rows in torch.arange(len(origins), device=origins.device).split(RAYS_AT_ONCE):
        with torch.no_grad():
            samples = march(
                field,
                origins[rows],
                directions[rows],
                band=BAND_LENGTHS / sharpness,
                step=step,
                generator=None,
            )
            if len(samples) == 0:
                continue
            band, (at_samples,) = narrow_band(field, [interpolation(field, samples.points)])
            table, _ = band.values(field)
            values = at_samples(table)
            seen = render_samples(field, values, samples, sharpness, num_coloured=num_coloured)
        yield rows, samples, seen
