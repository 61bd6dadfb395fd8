"""The visual hull: what all mattes allow, and the signed distance that a fit starts from."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import Cameras, camera_rays, project
from threed.errors import ReconstructionError
from threed.field import Field, FieldConfig
from threed.orbit import OrbitVideo

# Frames with more pixels than these may have a larger grid, and how much larger at most.
USUAL_PIXELS = 128 * 128
MOST_GROWTH = 3.0
# Steps of this share of a turn fall between all that were taken before.
GOLDEN = 0.618034
# Points are sorted out where no more than this share of them is left.
WORTH_SORTING_OUT = 0.8

ADVICE = "try another seed, more frames or a plainer background"


@dataclass(frozen=True, kw_only=True)
class HullConfig:
    """How the mattes are carved into a first shape."""

    threshold: float = 0.4
    """Alpha above which a view says that a point may be inside."""
    outliers: float = 0.05
    """Share of the views that may disagree with a point before it is outside."""
    voxels_a_pixel: float = 1.6
    """Voxels along the width of a pixel, as seen at the object."""
    max_vertices: int = 1_000_000
    """Most vertices in the grid for frames of up to 128 x 128 pixels, for larger ones in proportion
    up to three times as many; voxels grow until it holds. More take longer and gain nothing."""
    margin: int = 4
    """Empty voxels kept around the hull."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"threshold is {self.threshold}; it must lie in (0, 1)")
        if not 0 <= self.outliers < 0.5:
            raise ValueError(f"outliers is {self.outliers}; it must lie in [0, 0.5)")
        if self.voxels_a_pixel <= 0:
            raise ValueError(f"voxels_a_pixel is {self.voxels_a_pixel}; it must be positive")
        if self.max_vertices < 1000:
            raise ValueError(f"max_vertices is {self.max_vertices}; it must be at least 1000")
        if self.margin < 2:
            raise ValueError(f"margin is {self.margin}; it must be at least 2")


def hull_field(
    orbit: OrbitVideo, config: HullConfig, generator: torch.Generator, coarseness: int = 1
) -> Field:
    """Return a field whose surface is the visual hull and whose colour is the frames' mean.

    Args:
        orbit: Its mattes are carved.
        config: How.
        generator: Draws the colour's parameters.
        coarseness: How many times larger the voxels are than the config asks for.

    Raises:
        ReconstructionError: The mattes are empty, cover everything, or allow no common shape.
    """
    lower, upper = search_box(orbit)
    coarse = float((upper - lower).max()) / 48
    inside = carve(orbit, lower, grid_resolution(lower, upper, coarse), coarse, config)
    if not bool(inside.any()):
        raise ReconstructionError(f"no shape agrees with the mattes of all views: {ADVICE}")
    # The coarse pass may miss what is thinner than its voxels, so the fine box is a voxel wider.
    hit = inside.nonzero().flip(-1)
    upper = lower + coarse * (hit.amax(dim=0) + 1.5)
    lower = lower + coarse * (hit.amin(dim=0) - 1.5)

    voxel = pixel_footprint(orbit.cameras, 0.5 * (lower + upper)) / config.voxels_a_pixel
    pixels = orbit.cameras.width * orbit.cameras.height
    most = config.max_vertices * min(max(pixels / USUAL_PIXELS, 1.0), MOST_GROWTH)
    voxel = max(voxel, float((upper - lower).prod() / most) ** (1 / 3))
    voxel = coarseness * voxel
    lower, upper = lower - config.margin * voxel, upper + config.margin * voxel
    resolution = grid_resolution(lower, upper, voxel)
    inside = carve(orbit, lower, resolution, voxel, config)
    if not bool(inside.any()):
        raise ReconstructionError(f"no shape agrees with the mattes of all views: {ADVICE}")
    # Colour as fine as the frames show it: finer planes only learn their noise.
    texels = math.ceil(1.25 * coarseness * max(resolution) / config.voxels_a_pixel)
    sizes = FieldConfig(resolution=resolution, colour_resolution=max(32, texels))
    field = Field(sizes, lower, voxel)
    field = field.to(orbit.alpha.device)
    with torch.no_grad():
        field.distance.copy_(close_border(distance_to_surface(inside)))
    weight = orbit.alpha.sum().clamp(min=1e-6)
    mean_colour = (orbit.albedo.sum(dim=(0, 1, 2)) / weight).clamp(0, 1)
    field.reset_colour(mean_colour.cpu(), generator)
    return field


def finer(field: Field, orbit: OrbitVideo, config: HullConfig) -> Field:
    """Return a field on voxels half as large, with the parts that were too thin for larger ones.

    Its colour is the same, and its surface but for parts of the visual hull that lie wholly outside
    of what the larger voxels made of that hull.
    """
    resolution = tuple(2 * count - 1 for count in field.config.resolution)
    fine = Field(replace(field.config, resolution=resolution), field.lower, field.voxel / 2)  # pyright: ignore[reportArgumentType]
    fine = fine.to(field.lower.device)
    fine.planes.load_state_dict(field.planes.state_dict())
    fine.colour.load_state_dict(field.colour.state_dict())
    coarse_hull = carve(orbit, field.lower, field.config.resolution, float(field.voxel), config)
    hull = carve(orbit, fine.lower, fine.config.resolution, float(fine.voxel), config)
    known = doubled(coarse_hull.float()) > 0
    known = F.max_pool3d(known.float()[None, None], 5, stride=1, padding=2)[0, 0] > 0
    missing = hull & ~known
    distance = 2 * doubled(field.distance.detach())
    if bool(missing.any()):
        # With what joins them to the rest: the hull within a few voxels of them.
        near = F.max_pool3d(missing.float()[None, None], 7, stride=1, padding=3)[0, 0] > 0
        distance = torch.where(
            near, torch.minimum(distance, distance_to_surface(hull & near)), distance
        )
    with torch.no_grad():
        fine.distance.copy_(close_border(redistance(distance)))
    return fine


def doubled(grid: Float[Tensor, "depth height width"]) -> Float[Tensor, "new_depth rows columns"]:
    """Return a grid with a new vertex between any two, trilinear."""
    size = [2 * count - 1 for count in grid.shape]
    return F.interpolate(grid[None, None], size=size, mode="trilinear", align_corners=True)[0, 0]


def search_box(orbit: OrbitVideo) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Return a world box that surely holds the object: about where the mattes' centres meet.

    Raises:
        ReconstructionError: Hardly any view has a matte, or the mattes cover whole frames.
    """
    cameras, alpha = orbit.cameras, orbit.alpha
    solid = alpha > 0.4
    seen = solid.flatten(1).any(dim=1)
    if int(seen.sum()) < 2:
        raise ReconstructionError(
            f"{int(seen.sum())} of {len(seen)} frames show an object; two are needed: {ADVICE}"
        )
    if float(solid.float().mean()) > 0.97:
        raise ReconstructionError(
            "the mattes cover whole frames, so the object cannot be told from the background: "
            "give frames with transparency or a plain background"
        )
    origins, directions = camera_rays(cameras)
    axis = (directions * (alpha * solid)[..., None]).sum(dim=(1, 2))[seen]
    axis = axis / axis.norm(dim=-1, keepdim=True)
    origin = origins[seen, 0, 0]
    # The point nearest to all central rays: sum of (I - dd^T)(x - o) is zero.
    across = torch.eye(3, device=axis.device) - axis[:, :, None] * axis[:, None, :]
    normal_matrix = across.sum(dim=0) + 1e-4 * torch.eye(3, device=axis.device)
    centre = torch.linalg.solve(normal_matrix, (across @ origin[..., None]).sum(dim=0)[:, 0])

    pixel, depth = project(centre[None], cameras)
    half = torch.zeros((), device=alpha.device)
    for view in seen.nonzero()[:, 0].tolist():
        row, column = solid[view].nonzero().unbind(-1)
        reach = torch.hypot(column + 0.5 - pixel[view, 0, 0], row + 0.5 - pixel[view, 0, 1]).max()
        # A silhouette's radius seen from near by belongs to points nearer than the centre.
        half = torch.maximum(half, (reach + 2) * depth[view, 0] / cameras.focal[view])
    half = 1.1 * half
    return centre - half, centre + half


def pixel_footprint(cameras: Cameras, point: Float[Tensor, "3"]) -> float:
    """Return the world width of a pixel of the middling camera at a point."""
    distance = (cameras.c2w[:, :3, 3] - point).norm(dim=-1)
    return float((distance / cameras.focal).median())


def grid_resolution(
    lower: Float[Tensor, "3"], upper: Float[Tensor, "3"], voxel: float
) -> tuple[int, int, int]:
    """Return how many vertices a grid of that voxel needs to span a box, along x, y and z."""
    x, y, z = torch.ceil((upper - lower) / voxel).long().clamp(min=3).add(1).tolist()
    return x, y, z


def carve(
    orbit: OrbitVideo,
    lower: Float[Tensor, "3"],
    resolution: tuple[int, int, int],
    voxel: float,
    config: HullConfig,
) -> Bool[Tensor, "depth height width"]:
    """Return which vertices of a grid the mattes allow.

    A view denies a point where its alpha is at most the threshold; as many as the config calls
    outliers are not believed. A view that does not see a point has no say; a point that less than
    half of the views see is granted no outliers, and one that less than a third see is outside.
    """
    device = orbit.alpha.device
    axes = [
        torch.arange(n, device=device) * voxel + low
        for n, low in zip(resolution, lower, strict=True)
    ]
    z, y, x = torch.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    inside = torch.zeros(z.numel(), dtype=torch.bool, device=device)
    points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    left = torch.arange(len(points), device=device)
    seeing, denying = torch.zeros_like(left), torch.zeros_like(left)
    most = int(config.outliers * orbit.num_frames)
    # One after another from all around: a few views deny most of what is outside.
    for view in sorted(range(orbit.num_frames), key=lambda view: view * GOLDEN % 1):
        pixel, depth = project(points, orbit.cameras[[view]])
        size = pixel.new_tensor([orbit.cameras.width, orbit.cameras.height])
        local = 2 * pixel / size - 1
        said = F.grid_sample(
            orbit.alpha[view][None, None], local[None], align_corners=False, padding_mode="border"
        )[0, 0, 0]
        sees = (depth[0] > 0) & (local[0].abs() <= 1).all(dim=-1)
        seeing += sees
        denying += sees & (said <= config.threshold)
        open_still = denying <= most
        if float(open_still.float().mean()) < WORTH_SORTING_OUT:
            points, left = points[open_still], left[open_still]
            seeing, denying = seeing[open_still], denying[open_still]
    granted = torch.where(2 * seeing > orbit.num_frames, most, 0)
    inside[left] = (denying <= granted) & (3 * seeing > orbit.num_frames)
    return rearrange(inside, "(z y x) -> z y x", z=resolution[2], y=resolution[1])


def distance_to_surface(
    inside: Bool[Tensor, "depth height width"],
) -> Float[Tensor, "depth height width"]:
    """Return the signed distance in voxels of the boundary between vertices, negative inside."""
    occupied = inside.cpu().numpy()
    outer = ndimage.distance_transform_edt(~occupied) - 0.5  # pyright: ignore[reportOperatorIssue]
    inner = ndimage.distance_transform_edt(occupied) - 0.5  # pyright: ignore[reportOperatorIssue]
    distance = np.where(occupied, -inner, outer).astype(np.float32)
    smooth = ndimage.gaussian_filter(distance, 1.0)
    # Smoothing takes the stairs away; what is one voxel thin must survive it.
    smooth = np.where(occupied, np.minimum(smooth, -0.2), np.maximum(smooth, 0.2))
    return torch.from_numpy(smooth).to(inside.device)


def redistance(
    distance: Float[Tensor, "depth height width"], band: float = 2.0
) -> Float[Tensor, "depth height width"]:
    """Return a distance kept within a band of its zero and made true to length beyond it."""
    values = distance.detach().cpu().numpy()
    near = near_surface(values < 0)
    gap, nearest = ndimage.distance_transform_edt(~near, return_indices=True)  # pyright: ignore[reportGeneralTypeIssues]
    base = np.abs(values[tuple(nearest)]).clip(max=1.5)
    far = np.where(values < 0, -1, 1) * (base + gap)
    keep = near | ((gap < band) & (np.abs(values) < band + 1))
    return torch.from_numpy(np.where(keep, values, far).astype(np.float32)).to(distance.device)


def near_surface(
    inside: Bool[np.ndarray, "depth height width"],
) -> Bool[np.ndarray, "depth height width"]:
    """Return which vertices have a neighbour along an axis on the other side of the surface."""
    near = np.zeros_like(inside)
    for axis in range(3):
        change = np.diff(inside, axis=axis)
        before = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        near[before] |= change
        near[after] |= change
    return near


def close_border(
    distance: Float[Tensor, "depth height width"],
) -> Float[Tensor, "depth height width"]:
    """Return a distance that is outside on the whole border, so that the surface is closed."""
    core = torch.zeros_like(distance, dtype=torch.bool)
    core[1:-1, 1:-1, 1:-1] = True
    return torch.where(core, distance, distance.clamp(min=0.5))
