"""Cameras for a clip that came without them: a turn about an upright axis, then each its own.

What is assumed: a still object that a camera goes round at about one height and distance and at
about one speed (or a still camera and a turntable). What is measured: the first frame's repetition
at the end, pauses, cuts, the number of turns, the direction, the elevation and the field of view
unless they are told, the axis and its slant in the picture, and each camera's deviation.

Guesses are judged by trying them (`threed.agreement`), for outlines alone may not tell a turn from
its mirror image. The best are refined by `threed.pose_refinement`, and the judgement is repeated.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from threed.agreement import JUDGED_SIDE, misfit, shrink
from threed.cameras import Cameras, camera_angles, camera_rays
from threed.coherence import Outlines, outlines
from threed.coherence import shortfall as find_shortfall
from threed.errors import NoTurnError, RequestError
from threed.pose_refinement import (
    POINTS_A_VIEW,
    WAVES,
    Freedom,
    Turn,
    even_freedom,
    refined,
    root_shortfall,
)
from threed.turns import (
    OPEN_TURNS,
    STILL,
    check_count,
    check_unbroken,
    evenly,
    frame_distances,
    moving_frames,
    moving_times,
    possible_turns,
)

JUDGED_FRAMES = 24
REFINED_SIDE = 128
START_ELEVATION_DEG = 15.0
COARSE_ELEVATIONS_DEG = (15.0, 0.0, 30.0, 45.0, -15.0, 60.0)
MOST_MISFIT = 0.35
"""Pictures that agree no better than this are no turn of one object; right cameras give a tenth."""
HOPELESS = 0.9
"""An even turn's misfit that no deviations of single cameras explain."""
FIRST_ZOOMS = (1.0, 1.5, 0.7)
"""Focal lengths to start from, in units of the usual one's."""
MOST_SHORTFALL = 0.008
"""Outlines that miss each other by a larger share of the frame are of no one object."""
MOST_FOV = math.radians(110)
"""No camera that films a turn sees wider; what only such a lens explains is no turn."""
LEAST_TURNS = 0.75
TRIALS_REFINED = 3
CLEAN = 0.25
"""Outlines are not known better, pixels."""
CLEARLY = 0.8
"""More freedom is granted where it leaves less than this share of the outlines' shortfall."""
WAVE_SIZE = 0.15
"""How far the turn's speed and height may run from even, radians."""
MOTION_TURN, MOTION_SHIFT = 0.025, 0.025
"""How far each camera may stray, radians and world units."""
MARGIN = 1.03
"""How far the unit sphere stands off the widest silhouette."""
USUAL_FOV_DEG = 40.0
"""Where the search for an untold field of view starts."""


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """What is told about a clip whose cameras are unknown."""

    elevation_deg: float | None = None
    """The camera's height above the object's middle, degrees, in [-80, 80]; None measures it."""
    fov_deg: float | None = None
    """The camera's vertical field of view, degrees, in [5, 120]; None measures it."""

    def __post_init__(self) -> None:
        if self.elevation_deg is not None and not -80 <= self.elevation_deg <= 80:
            raise RequestError(f"elevation_deg is {self.elevation_deg:g}; can be -80 to 80")
        if self.fov_deg is not None and not 5 <= self.fov_deg <= 120:
            raise RequestError(f"fov_deg is {self.fov_deg:g}; can be 5 to 120")


@dataclass(frozen=True, kw_only=True)
class OrbitPoses:
    """What was found out about a clip."""

    kept: list[int]
    """The frames that have a camera: without pauses and without the first frame's repetition."""
    cameras: Cameras
    """One camera a kept frame; the object lies inside the unit sphere."""
    num_turns: float
    """Turns that the clip shows, the step after the last frame counted."""
    counter_clockwise: bool
    """Whether the camera goes towards +x from the front, which is how a positive azimuth goes."""
    elevation_deg: float
    """As told or measured."""
    misfit: float
    """Mean disagreement of the pictures under these cameras, 0 is none and 1 is all."""
    shortfall: float
    """By how much the outlines' rays miss the object in other views, root mean square, pixels."""
    by_texture: bool = False
    """Whether the points that pictures share told the cameras (`threed.feature_poses`)."""


@dataclass(frozen=True, kw_only=True)
class _Trial:
    turn: Turn
    num_turns: float
    misfit: float


def find_orbit(
    frames: Float[Tensor, "frame height width 4"],
    fov_y: float,
    config: PoseConfig,
    indices: list[int] | None = None,
) -> OrbitPoses:
    """Return cameras for a clip that goes about one still object.

    Args:
        frames: Premultiplied RGBA in the order of the clip.
        fov_y: The frames' vertical field of view, radians; smaller than the clip's if cropped.
            Where the config tells none, a guess to start from.
        config: What is told about the clip.
        indices: Where each frame stood in the clip, which is when it was taken; None is evenly.

    Raises:
        NoTurnError: The frames are no even turn about one object.
        RequestError: Too few frames, or nothing turns.
    """
    check_count(len(frames))
    small = shrink(frames, JUDGED_SIDE)
    distances = frame_distances(small)
    if float(distances.max()) < STILL:
        raise RequestError(
            "nothing turns in the clip: all its frames show the same; a turn about the object is "
            "needed"
        )
    kept = moving_frames(distances)
    check_count(len(kept))
    apart = distances[kept][:, kept]
    check_unbroken(apart)
    times = moving_times(kept, indices or list(range(len(frames))))
    judged = evenly(len(kept), JUDGED_FRAMES)
    pictures = small[kept][judged]
    start = _first_guess(frames[kept], times, fov_y)

    def judge(turn: Turn, num_turns: float) -> _Trial:
        chosen = turn.cameras()[judged]
        # A rounded aspect ratio is no matter at this size.
        size = {"width": pictures.shape[2], "height": pictures.shape[1]}
        return _Trial(
            turn=turn, num_turns=num_turns, misfit=misfit(pictures, replace(chosen, **size))
        )

    elevations = COARSE_ELEVATIONS_DEG if config.elevation_deg is None else (config.elevation_deg,)
    guesses = possible_turns(apart)
    whole = bool(guesses)
    trials = [
        min(
            (judge(_turned(start, turns, way, degrees), turns) for degrees in elevations),
            key=lambda trial: trial.misfit,
        )
        for turns in guesses or OPEN_TURNS
        for way in (1, -1)
    ]
    lines = outlines(shrink(frames[kept], REFINED_SIDE)[..., 3], POINTS_A_VIEW)
    best = _best_refined(trials, lines, judged, judge, config, whole)
    shortfall = math.inf
    if best.misfit < HOPELESS:
        best, shortfall = _own_cameras(best, lines, judged, judge, config, whole)
    turned = _angle_turned(best.turn.cameras())
    shown = abs(turned) / (2 * math.pi) * len(kept) / (len(kept) - 1)
    if not whole and (shown < LEAST_TURNS or best.misfit > MOST_MISFIT):
        raise NoTurnError(
            "the clip does not end where it began: a whole turn about one object is needed"
        )
    strained = shortfall > MOST_SHORTFALL * max(lines.distance.shape[1:])
    strained |= float(best.turn.cameras().fov_y[0]) > MOST_FOV
    strained |= whole and shown < 0.9 * best.num_turns
    if best.misfit > MOST_MISFIT or strained:
        raise NoTurnError(
            "the frames do not agree with a turn about one object: it must keep its shape, turn "
            "about an upright axis without changing direction, and stay whole in the picture"
        )
    return OrbitPoses(
        kept=kept,
        cameras=in_unit_sphere(best.turn.cameras(), frames[kept]),
        num_turns=shown,
        counter_clockwise=turned > 0,
        elevation_deg=math.degrees(float(best.turn.shape[1])),
        misfit=best.misfit,
        shortfall=shortfall,
    )


def _first_guess(
    frames: Float[Tensor, "frame height width 4"], times: Float[Tensor, " frame"], fov_y: float
) -> Turn:
    """Return a turn of no angle at level height whose cameras see its centre where the object is.

    Its distance makes the widest silhouette touch the unit sphere.
    """
    frames = shrink(frames, REFINED_SIDE)
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
    centre = F.normalize(torch.tensor([right, up, 1.0]), dim=0)
    widest = math.acos(min(1.0, float((rays @ centre).min())))
    # An object to the right is seen by a camera that looks to its left.
    view = [-math.atan(up), math.atan(right), 0.0]
    return Turn(
        times=times,
        shape=torch.tensor([0.0, 0.0, *view, math.log(focal)]),
        waves=torch.zeros(WAVES, 2),
        motions=torch.zeros(len(times), 6),
        radius=1 / (MARGIN * math.sin(widest) * focal),
        width=width,
        height=height,
    )


def _turned(start: Turn, num_turns: float, way: int, elevation_deg: float) -> Turn:
    count = len(start.times)
    shape = start.shape.clone()
    shape[0] = way * 2 * math.pi * num_turns * (count - 1) / count
    shape[1] = math.radians(elevation_deg)
    return replace(start, shape=shape)


def _best_refined(
    trials: list[_Trial],
    lines: Outlines,
    judged: list[int],
    judge: Callable[[Turn, float], _Trial],
    config: PoseConfig,
    whole: bool,
) -> _Trial:
    """Return the trial that agrees best when its few numbers are refined on the judged frames."""
    trials = sorted(trials, key=lambda trial: trial.misfit)[:TRIALS_REFINED]
    trials = [trial for trial in trials if trial.misfit < 2 * trials[0].misfit]
    some = lines.select(judged)
    best = None
    for trial in sorted(trials, key=lambda trial: trial.num_turns):
        turn = _refined_even(trial, some, judged, config, whole)
        found = judge(replace(trial.turn, shape=turn.shape), trial.num_turns)
        # More turns must agree clearly better, for a symmetric object allows them all.
        asked = 0.8 if best is not None and trial.num_turns > 1.05 * best.num_turns else 1.0
        if best is None or found.misfit < asked * best.misfit:
            best = found
    assert best is not None
    return best


def _freedom(trial: _Trial, config: PoseConfig, whole: bool) -> Freedom:
    """Return an even turn's freedom; frames that return say to about a step how far it went."""
    step = 2 * math.pi * trial.num_turns / len(trial.turn.times)
    return even_freedom(
        fov_told=config.fov_deg is not None,
        elevation_told=config.elevation_deg is not None,
        angle=0.5 * step if whole else 0.5,
    )


def _refined_even(
    trial: _Trial, some: Outlines, judged: list[int], config: PoseConfig, whole: bool
) -> Turn:
    """Return the best even turn from a trial, started from several lenses where none is told."""
    starts = []
    for zoom in FIRST_ZOOMS if config.fov_deg is None else (1.0,):
        shape = trial.turn.shape.clone()
        shape[-1] += math.log(zoom)
        start = replace(trial.turn, shape=shape).select(judged)
        starts.append(refined(start, some, _freedom(trial, config, whole)))
    return min(starts, key=lambda start: start[1])[0]


def _own_cameras(
    best: _Trial,
    lines: Outlines,
    judged: list[int],
    judge: Callable[[Turn, float], _Trial],
    config: PoseConfig,
    whole: bool,
) -> tuple[_Trial, float]:
    """Return the trial with waves and each camera's own motion, and the outlines' shortfall."""
    even = _freedom(best, config, whole)
    some = lines.select(judged)
    turn, shortfall = refined(best.turn.select(judged), some, even)
    # What is free follows the mattes' noise too: only what explains much more is taken.
    waves = 0.0
    waving, less = refined(turn, some, replace(even, waves=WAVE_SIZE))
    if less < CLEARLY * shortfall:
        turn, waves = waving, WAVE_SIZE
    turn = replace(best.turn, shape=turn.shape, waves=turn.waves)
    shortfall = root_shortfall(find_shortfall(lines, turn.cameras()))
    if shortfall < CLEAN:
        return judge(turn, best.num_turns), shortfall
    motion = (MOTION_TURN, MOTION_SHIFT)
    straying, less = refined(turn, lines, replace(even, waves=waves, motion=motion, num_steps=12))
    if less < CLEARLY * shortfall:
        turn, shortfall = straying, less
    return judge(turn, best.num_turns), shortfall


def _angle_turned(cameras: Cameras) -> float:
    """Return how far round the cameras go from first to last, radians."""
    steps = camera_angles(cameras)[0].diff()
    return float(torch.atan2(steps.sin(), steps.cos()).sum())


def in_unit_sphere(cameras: Cameras, frames: Float[Tensor, "frame height width 4"]) -> Cameras:
    """Return cameras of the frames' size, scaled such that all outlines fit the unit sphere."""
    size = {"width": frames.shape[2], "height": frames.shape[1]}
    cameras = replace(cameras, **size)
    origins, directions = camera_rays(cameras)
    passing = torch.linalg.cross(origins, directions).norm(dim=-1)[frames[..., 3] > 0.5]
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] /= MARGIN * float(passing.max())
    return replace(cameras, c2w=c2w)
