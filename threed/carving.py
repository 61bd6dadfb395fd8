"""Space carving: hollows that no silhouette shows, dug out where the views disagree.

Kutulakos and Seitz 2000. A point on the visual hull that is on no surface shows different things to
different views; it is taken away, layer after layer, until what remains looks the same from
wherever it is seen. A view shows the range of colours about a point's pixel, and views disagree
only where their ranges lie apart, so that edges, noise and coarse voxels take nothing away.

In a video that has normals, these tell, too: a hollow of one flat colour turns another side to each
view. A model drew such a video, whose normals disagree about true surfaces as well: carving by them
would not stop there. So they are asked for the first layers only, which say where a hollow begins.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import project
from threed.field import Field
from threed.hull import close_border, distance_to_surface, redistance
from threed.orbit import OrbitVideo

# Least cosine between the surface's normal and the way to a camera that is believed to see it.
MIN_FACING = 0.1
# Side of a place in the depth picture, in voxels as they look.
PLACE = 1.2


@dataclass(frozen=True, kw_only=True)
class CarvingConfig:
    """When views disagree."""

    tolerance: float = 0.04
    """How far apart two ranges of colour must lie, of 1."""
    normal_tolerance: float = 0.3
    """How far apart two ranges of a unit normal's component must lie. Normals that a model drew are
    off by several degrees, more where the surface bends."""
    normal_reach: int = 2
    """How far about its pixel a point's normals may lie, pixels: at an edge they change at once."""
    min_views: int = 5
    """Views that must see a point before it may go."""
    outliers: int = 1
    """Views at either end of the ranges that are not believed."""
    drawn_outliers: int = 2
    """The same of a video that has normals."""
    max_layers: int = 64
    """Layers that may be taken away."""
    first_layers: int = 6
    """Layers that show where a hollow begins: more than a vessel's wall is thick."""
    share: float = 0.5
    """Share of the surface about a point that must be in doubt with it."""
    max_doubt: float = 0.1
    """Share of the last surface in doubt from which on the views are believed in nothing."""

    def __post_init__(self) -> None:
        for name in ("outliers", "drawn_outliers"):
            if not 0 <= getattr(self, name) < self.min_views:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; "
                    f"it must be less than min_views, {self.min_views}"
                )


def carve_hollows(
    field: Field, orbit: OrbitVideo, config: CarvingConfig
) -> Bool[Tensor, "depth height width"]:
    """Take away what the views' colours disagree about and return which vertices that were.

    Nothing goes where the views are fewer than the config asks for, or go on to disagree
    about what is left.

    Args:
        field: The visual hull; its distance is changed.
        orbit: The views.
        config: When they disagree.
    """
    hull = field.distance.detach() < 0
    colours = replace(orbit, normals=None)
    taken, in_doubt = _layers(field, colours, config, config.max_layers, config.outliers)
    # Frames that a model made may show no solid thing at all; then the hull is the better start.
    if not bool(taken.any()) or bool((taken == hull).all()) or in_doubt > config.max_doubt:
        return torch.zeros_like(hull)
    take_away(field, taken)
    return taken


def first_layers(
    field: Field, orbit: OrbitVideo, config: CarvingConfig
) -> Bool[Tensor, "depth height width"]:
    """Return where hollows begin, by colours and normals; the field, a visual hull, stays."""
    return _layers(field, orbit, config, config.first_layers, config.drawn_outliers)[0]


def _layers(
    field: Field, orbit: OrbitVideo, config: CarvingConfig, num_layers: int, outliers: int
) -> tuple[Bool[Tensor, "depth height width"], float]:
    """Return what the views disagree about, and the share of the last surface in doubt."""
    hull = field.distance.detach() < 0
    inside, looks, in_doubt = hull.clone(), _looks(orbit, config), 1.0
    if orbit.num_frames < config.min_views:
        return torch.zeros_like(hull), in_doubt
    for _ in range(num_layers):
        surface = inside & ~_eroded(inside)
        # Contiguous: torch finds the length of strided vectors twenty times more slowly.
        index = surface.nonzero().flip(-1).contiguous()
        points = field.lower + field.voxel * index
        normals = outward(inside, surface)
        voxel = float(field.voxel)
        wrong = _in_doubt(points, normals, orbit, looks, voxel, config.min_views, outliers)
        in_doubt = float(wrong.float().mean())
        doubt = torch.zeros(inside.shape, device=inside.device)
        doubt[surface] = wrong.float()
        near = [F.avg_pool3d(x[None, None], 3, 1, 1)[0, 0] for x in (doubt, surface.float())]
        gone = surface & (near[0] > config.share * near[1])
        inside &= ~gone
        if not bool(gone.any()) or not bool(inside.any()):
            break
    return hull & ~inside, in_doubt


def take_away(field: Field, gone: Bool[Tensor, "depth height width"]) -> None:
    """Make the field's solid end where `gone` begins."""
    before = field.distance.detach()
    # Only about what goes: elsewhere the distance is finer than its sign.
    near = F.max_pool3d(gone.float()[None, None], 7, 1, 3)[0, 0] > 0
    moved = torch.maximum(before, distance_to_surface((before < 0) & ~gone))
    with torch.no_grad():
        field.distance.copy_(close_border(redistance(torch.where(near, moved, before))))


def outward(
    inside: Bool[Tensor, "depth height width"], at: Bool[Tensor, "depth height width"]
) -> Float[Tensor, "chosen 3"]:
    """Return unit outward normals (x, y, z) at the chosen vertices, of the occupancy's blur."""
    blurred = inside.float()[None, None]
    for _ in range(3):
        blurred = F.avg_pool3d(F.pad(blurred, [1] * 6), 3, 1)
    slope = [-g[at] for g in torch.gradient(blurred[0, 0])]
    return F.normalize(torch.stack(slope[::-1], dim=-1), dim=-1, eps=1e-6)


def _eroded(inside: Tensor) -> Tensor:
    return -F.max_pool3d(-inside.float()[None, None], 3, 1, 1)[0, 0] > 0.5


@dataclass(frozen=True, kw_only=True)
class _Looks:
    """The least and greatest colour and normal in a window about each pixel, in tolerances."""

    low: Float[Tensor, "view channel height width"]
    high: Float[Tensor, "view channel height width"]
    whole: Bool[Tensor, "view height width"]
    """Whether the window shows nothing but the object."""


def _looks(orbit: OrbitVideo, config: CarvingConfig) -> _Looks:
    straight = (orbit.albedo / orbit.alpha.clamp(min=0.05)[..., None]).clamp(0, 1)
    low, high = _ranges(straight / config.tolerance, 1)
    if orbit.normals is not None:
        unit = F.normalize(orbit.normals, dim=-1, eps=1e-3)
        ranges = _ranges(unit / config.normal_tolerance, config.normal_reach)
        low, high = torch.cat([low, ranges[0]], dim=1), torch.cat([high, ranges[1]], dim=1)
    whole = -F.max_pool2d(-orbit.alpha[:, None], 3, 1, 1)[:, 0] > 0.9
    return _Looks(low=low, high=high, whole=whole)


def _ranges(
    image: Float[Tensor, "view height width channel"], reach: int
) -> tuple[Float[Tensor, "view channel height width"], Float[Tensor, "view channel height width"]]:
    """Return the least and greatest value within so many pixels."""
    image, side = image.permute(0, 3, 1, 2), 2 * reach + 1
    return -F.max_pool2d(-image, side, 1, reach), F.max_pool2d(image, side, 1, reach)


def _in_doubt(
    points: Float[Tensor, "vertex 3"],
    normals: Float[Tensor, "vertex 3"],
    orbit: OrbitVideo,
    looks: _Looks,
    voxel: float,
    min_views: int,
    outliers: int,
) -> Bool[Tensor, " vertex"]:
    """Return which surface points' views disagree."""
    cameras = orbit.cameras
    lows, highs, seen = [], [], []
    for view in range(len(cameras)):
        pixels, depths = project(points, cameras[[view]])
        pixel, depth = pixels[0], depths[0]
        x, y = pixel.floor().long().unbind(-1)
        ok = (depth > 0) & (x >= 0) & (y >= 0) & (x < cameras.width) & (y < cameras.height)
        x, y = x.clamp(0, cameras.width - 1), y.clamp(0, cameras.height - 1)
        way = F.normalize(cameras.c2w[view, :3, 3] - points, dim=-1)
        facing = (way * normals).sum(dim=-1)
        front = _front(pixel, depth, ok, voxel * float(cameras.focal[view]))
        # Within a place of the depth picture a slanted surface's depth changes by its tangent.
        steep = (1 - facing.square()).clamp(min=0).sqrt() / facing.clamp(min=MIN_FACING)
        ok &= depth < front + (1 + PLACE * steep) * voxel
        ok &= (facing > MIN_FACING) & looks.whole[view, y, x]
        lows.append(torch.where(ok[:, None], looks.low[view][:, y, x].T, -torch.inf))
        highs.append(torch.where(ok[:, None], looks.high[view][:, y, x].T, torch.inf))
        seen.append(ok)
    believed = outliers + 1
    low = torch.stack(lows).topk(believed, dim=0).values[-1]
    high = torch.stack(highs).topk(believed, dim=0, largest=False).values[-1]
    enough = torch.stack(seen).sum(dim=0) >= min_views
    return enough & ((low - high).amax(dim=-1) > 1)


def _front(
    pixel: Float[Tensor, "vertex 2"],
    depth: Float[Tensor, " vertex"],
    ok: Bool[Tensor, " vertex"],
    voxel_at_one: float,
) -> Float[Tensor, " vertex"]:
    """Return the depth of the nearest point that falls into each point's place of the picture.

    Places are a little larger than a voxel looks, so that neighbours leave no gaps between them.
    """
    side = max(1.0, PLACE * voxel_at_one / float(depth.median()))
    place = (pixel / side).floor().long()
    place = torch.where(ok[:, None], place, 0)
    columns = int(place[:, 0].max()) + 1
    flat = place[:, 1] * columns + place[:, 0]
    front = torch.full((int(flat.max()) + 1,), torch.inf, device=depth.device)
    far = torch.where(ok, depth, torch.inf)
    return front.scatter_reduce(0, flat, far, "amin")[flat]
