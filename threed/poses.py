"""Cameras for a clip that came without them: one turn about a still axis, in equal steps.

What is assumed: the camera stands at one height and distance and looks the same way throughout,
the object (or the camera) turns about the vertical through equal angles, and the clip shows whole
turns. What is measured: the first frame's repetition at the end, pauses, cuts, the number of
turns, the direction, the elevation unless it is told, the distance and where the axis stands in the
picture. The field of view is told.

Direction, turns and elevation are judged by trying them: each trial carves a coarse visual hull,
and every pixel of the object is carried over that hull into the neighbouring frames. Under wrong
cameras the hull lacks parts that the pictures show, and what it carries lands on other colours.
"""

import math
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from threed.cameras import Cameras, camera_rays, look_at_origin, project
from threed.errors import RequestError

MIN_FRAMES = 8
STILL = 0.02
"""Frames of a still object differ by less: noise and compression."""
PAUSE = 0.004
"""Frames in a row that differ by less are a pause or a doubling."""
JUDGED_SIDE = 64
JUDGED_FRAMES = 24
GRID = 40
RAY_STEPS = 64
JUDGED_STRIDE = 2
"""Of the judged frames all carve, every second one is compared."""
START_ELEVATION_DEG = 15.0
COARSE_ELEVATIONS_DEG = (15.0, 0.0, 30.0, 45.0, -15.0, 60.0)
MAX_TURNS = 6
MOST_MISFIT = 0.35
"""Pictures that agree no better than this are no turn of one object; right cameras give a tenth."""
MARGIN = 1.03
"""How far the unit sphere stands off the widest silhouette."""


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """What is told about a clip whose cameras are unknown."""

    elevation_deg: float | None = None
    """The camera's height above the object's middle, degrees, in [-80, 80]; None measures it."""
    fov_deg: float = 40.0
    """The camera's vertical field of view, degrees, in [5, 120]."""

    def __post_init__(self) -> None:
        if self.elevation_deg is not None and not -80 <= self.elevation_deg <= 80:
            raise RequestError(f"elevation_deg is {self.elevation_deg:g}; can be -80 to 80")
        if not 5 <= self.fov_deg <= 120:
            raise RequestError(f"fov_deg is {self.fov_deg:g}; can be 5 to 120")


@dataclass(frozen=True, kw_only=True)
class OrbitPoses:
    """What was found out about a clip."""

    kept: list[int]
    """The frames that have a camera: without pauses and without the first frame's repetition."""
    cameras: Cameras
    """One camera a kept frame; the object lies inside the unit sphere."""
    num_turns: int
    """Whole turns that the clip shows."""
    counter_clockwise: bool
    """Whether the camera goes towards +x from the front, which is how a positive azimuth goes."""
    elevation_deg: float
    """As told or measured."""
    misfit: float
    """Mean disagreement of the pictures under these cameras, 0 is none and 1 is all."""


def find_orbit(
    frames: Float[Tensor, "frame height width 4"], fov_y: float, config: PoseConfig
) -> OrbitPoses:
    """Return cameras for a clip of whole turns about one still object.

    Args:
        frames: Premultiplied RGBA in the order of the clip.
        fov_y: The frames' vertical field of view, radians; smaller than the clip's if cropped.
        config: What is told about the clip.

    Raises:
        RequestError: Too few frames, nothing turns, or the frames are no whole turn of one object.
    """
    _check_count(len(frames))
    small = shrink(frames, JUDGED_SIDE)
    distances = frame_distances(small)
    if float(distances.max()) < STILL:
        raise RequestError(
            "nothing turns in the clip: all its frames show the same; a turn about the object is "
            "needed"
        )
    kept = _moving_frames(distances)
    _check_count(len(kept))
    _check_one_turn(distances[kept][:, kept])
    placing = _placing(frames[kept], fov_y)
    judged = list(range(len(kept)))
    if len(kept) > JUDGED_FRAMES:
        judged = [index * len(kept) // JUDGED_FRAMES for index in range(JUDGED_FRAMES)]
    pictures = small[kept][judged]

    def trial(elevation_deg: float, turns: int) -> OrbitPoses:
        cameras = placing.cameras(len(kept), math.radians(elevation_deg), turns, frames)
        chosen = cameras[judged]
        # A rounded aspect ratio is no matter at this size.
        size = {"width": pictures.shape[2], "height": pictures.shape[1]}
        return OrbitPoses(
            kept=kept,
            cameras=cameras,
            num_turns=abs(turns),
            counter_clockwise=turns > 0,
            elevation_deg=elevation_deg,
            misfit=misfit(pictures, replace(chosen, **size)),
        )

    told = config.elevation_deg
    best = trial(START_ELEVATION_DEG if told is None else told, 1)
    for turns in _possible_turns(distances[kept][:, kept]):
        for signed in (turns, -turns):
            for elevation in COARSE_ELEVATIONS_DEG if told is None else (told,):
                # More turns must agree clearly better, for a symmetric object allows them all.
                asked = 0.8 if turns > best.num_turns else 0.99
                found = trial(elevation, signed)
                best = found if found.misfit < asked * best.misfit else best
    for step in (7.5, 3.0) if told is None else ():
        signed = best.num_turns if best.counter_clockwise else -best.num_turns
        around = [trial(best.elevation_deg + side * step, signed) for side in (-1, 1)]
        best = min([best, *around], key=lambda poses: poses.misfit)
    if best.misfit > MOST_MISFIT:
        elevation = "any elevation" if told is None else f"{told:g} degrees elevation"
        raise RequestError(
            f"the frames do not agree with a turn about one object at {elevation}: it must keep "
            "its shape, stand upright, turn evenly and stay whole in the picture"
        )
    return best


@dataclass(frozen=True, kw_only=True)
class _Placing:
    """Where the turn's centre stands before the camera."""

    toward: tuple[float, float]
    """Tangent coordinates of the centre, x right and y up."""
    radius: float
    """Distance that makes the widest silhouette touch the unit sphere."""
    fov_y: float

    def cameras(
        self,
        count: int,
        elevation: float,
        turns: int,
        frames: Float[Tensor, "frame height width 4"],
    ) -> Cameras:
        """Return cameras whose positions run round at an elevation; negative turns go back."""
        azimuth = torch.arange(count) * (2 * math.pi * turns / count)
        right, up = self.toward
        length = math.sqrt(1 + right * right + up * up)
        # The centre, seen from the camera and negated, in the camera's own axes. An upright camera
        # that looks beside the centre is one that looks at it from another azimuth and elevation.
        x, y, z = -right / length, -up / length, 1 / length
        sine = max(-1.0, min(1.0, math.sin(elevation) / math.hypot(y, z)))
        tilt = math.asin(sine) - math.atan2(y, z)
        yaw = math.atan2(x, z * math.cos(tilt) - y * math.sin(tilt))
        around = torch.full((count,), elevation), torch.full((count,), self.radius)
        c2w = look_at_origin(azimuth - yaw, torch.full((count,), tilt), around[1])
        c2w[:, :3, 3] = look_at_origin(azimuth, *around)[:, :3, 3]
        return Cameras(
            c2w=c2w,
            fov_y=torch.full((count,), self.fov_y),
            width=frames.shape[2],
            height=frames.shape[1],
        )


def _placing(frames: Float[Tensor, "frame height width 4"], fov_y: float) -> _Placing:
    height, width = frames.shape[1:3]
    focal = 0.5 * height / math.tan(0.5 * fov_y)
    alpha = frames[..., 3]
    # Averaged over a whole turn, silhouettes lie evenly to both sides of the axis.
    columns = torch.arange(width) + 0.5
    centre_x = float((alpha.sum(dim=(0, 1)) * columns).sum() / alpha.sum())
    shown = alpha.amax(dim=0) > 0.5
    if not bool(shown.any()):
        raise RequestError(
            "the clip is nearly transparent throughout: an object that hides what is behind it is "
            "needed"
        )
    rows = shown.any(dim=1).nonzero()[:, 0]
    centre_y = 0.5 * float(rows[0] + rows[-1] + 1)
    right, up = (centre_x - 0.5 * width) / focal, (0.5 * height - centre_y) / focal
    row, column = shown.nonzero().unbind(dim=1)
    rays = torch.stack(
        [(column + 0.5 - 0.5 * width) / focal, (0.5 * height - row - 0.5) / focal], dim=-1
    )
    rays = F.normalize(F.pad(rays, (0, 1), value=1.0), dim=-1)
    cosine = rays @ F.normalize(torch.tensor([right, up, 1.0]), dim=0)
    widest = math.acos(min(1.0, float(cosine.min())))
    return _Placing(toward=(right, up), radius=1 / (MARGIN * math.sin(widest)), fov_y=fov_y)


def _check_count(count: int) -> None:
    if count < MIN_FRAMES:
        raise RequestError(
            f"the clip has {count} different frames; at least {MIN_FRAMES} of one whole turn are "
            "needed"
        )


def _moving_frames(distances: Float[Tensor, "frame other"]) -> list[int]:
    """Return the frames without pauses, doublings and the first frame's repetition at the end."""
    kept = [0]
    for index in range(1, len(distances)):
        if float(distances[kept[-1], index]) > PAUSE:
            kept.append(index)
    # A step beside the first frame is like its neighbours, but a repetition is no step at all.
    while len(kept) > 3:
        first, last = float(distances[0, kept[1]]), float(distances[kept[-2], kept[-1]])
        if float(distances[0, kept[-1]]) > 0.35 * min(first, last):
            break
        kept.pop()
    return kept


def _check_one_turn(distances: Float[Tensor, "frame other"]) -> None:
    steps = distances.diagonal(1)
    largest, median = float(steps.max()), float(steps.median())
    if largest > 5 * median and largest > 0.15:
        raise RequestError(
            f"the clip jumps between frames {int(steps.argmax())} and {int(steps.argmax()) + 1}: "
            "one unbroken turn about the object is needed"
        )
    if float(distances[0, -1]) > 1.5 * largest:
        raise RequestError(
            "the clip does not end where it began: whole turns about the object are needed"
        )


def _possible_turns(distances: Float[Tensor, "frame other"]) -> list[int]:
    """Return the numbers of turns after which the pictures come again, one among them."""
    count = len(distances)
    mean = float(distances.sum()) / (count * (count - 1))
    found = [1]
    for turns in range(2, MAX_TURNS + 1):
        lag = round(count / turns)
        if lag >= MIN_FRAMES and float(distances.diagonal(lag).mean()) < 0.4 * mean:
            found.append(turns)
    return found


def frame_distances(frames: Float[Tensor, "frame height width 4"]) -> Float[Tensor, "frame other"]:
    """Return how much every two frames differ, as a share of the area that either covers."""
    flat = rearrange(frames, "f h w c -> f (h w c)")
    alpha = rearrange(frames[..., 3], "f h w -> f (h w)")
    rows = []
    for frame, cover in zip(flat, alpha, strict=True):
        area = torch.maximum(alpha, cover).sum(dim=1).clamp(min=1e-6)
        rows.append((flat - frame).abs().sum(dim=1) / (4 * area))
    return torch.stack(rows)


def carve(
    alpha: Float[Tensor, "view height width"], cameras: Cameras
) -> Float[Tensor, "plane row column"]:
    """Return a coarse visual hull on [-1, 1]^3, z outermost: the least alpha that any view has."""
    axis = (torch.arange(GRID) + 0.5) * (2 / GRID) - 1
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    points = torch.stack([x, y, z], dim=-1).reshape(-1, 3)
    pixels, _ = project(points, cameras)
    least = torch.ones(len(points))
    # Half a pixel wider, so that thin parts outlive a coarse grid and a small error of the pose.
    alpha = 0.5 * (alpha + F.max_pool2d(alpha[None], 3, 1, 1)[0])
    for picture, place in zip(alpha, pixels, strict=True):
        least = torch.minimum(least, _sample(picture[..., None], place)[:, 0])
    return least.view(GRID, GRID, GRID)


def misfit(frames: Float[Tensor, "frame height width 4"], cameras: Cameras) -> float:
    """Return how badly a turn's pictures agree under cameras, 0 is perfect.

    Each pixel of the object counts 1 where the hull has no surface behind it, else the difference
    of its colour from where that surface is seen in the frames before and after.
    """
    hull = carve(frames[..., 3], cameras)
    origins, directions = camera_rays(cameras)
    steps = torch.linspace(-1, 1, RAY_STEPS)
    total, weight = 0.0, 0.0
    for view in range(0, len(frames), JUDGED_STRIDE):
        shown = frames[view, ..., 3] > 0.7
        origin, direction = origins[view][shown], directions[view][shown]
        # Depth runs through the unit sphere, measured from the point nearest to its centre.
        middle = -(origin * direction).sum(dim=-1, keepdim=True)
        points = origin[:, None] + direction[:, None] * (middle + steps)[..., None]
        inside = (
            F.grid_sample(hull[None, None], points[None, None], align_corners=False)[0, 0, 0] > 0.4
        )
        hit = inside.any(dim=1)
        first = inside.int().argmax(dim=1)
        surface = points[torch.arange(len(points)), first]
        colour = frames[view][shown]
        error = torch.zeros(len(points))
        for other in ((view - 1) % len(frames), (view + 1) % len(frames)):
            place, _ = project(surface, cameras[[other]])
            error += 0.5 * (_sample(frames[other], place[0]) - colour).abs().mean(dim=-1)
        total += float(torch.where(hit, error, torch.ones_like(error)).sum())
        weight += len(points)
    return total / max(weight, 1.0)


def _sample(
    picture: Float[Tensor, "height width channel"], place: Float[Tensor, "point 2"]
) -> Float[Tensor, "point channel"]:
    size = place.new_tensor([picture.shape[1], picture.shape[0]])
    grid = (2 * place / size - 1)[None, None]
    out = F.grid_sample(rearrange(picture, "h w c -> 1 c h w"), grid, align_corners=False)
    return out[0, :, 0].T


def shrink(
    frames: Float[Tensor, "frame height width 4"], side: int
) -> Float[Tensor, "frame rows columns 4"]:
    """Return frames averaged down so that the longer side is at most `side`."""
    height, width = frames.shape[1:3]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = F.interpolate(rearrange(frames, "f h w c -> f c h w"), size, mode="area")
    return rearrange(small, "f c h w -> f h w c")
