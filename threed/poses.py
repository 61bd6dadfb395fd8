"""Cameras for a clip that came without them: a turn about an upright axis, then each its own.

What is assumed: a still object that a camera goes round at about one height and distance and at
about one speed (or a still camera and a turntable). What is measured: the first frame's repetition
at the end, pauses, cuts, the number of turns, the direction, the elevation and the field of view
unless they are told, the axis and its slant in the picture, and each camera's deviation.

Guesses are judged by trying them (`threed.agreement`), for outlines alone may not tell a turn from
its mirror image. The best are refined by `threed.pose_refinement`, and the judgement is repeated.
"""

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from threed.agreement import JUDGED_SIDE, misfit, shrink
from threed.cameras import Cameras, camera_angles
from threed.coherence import Outlines, outlines
from threed.coherence import shortfall as find_shortfall
from threed.errors import NoTurnError, RequestError
from threed.first_guess import REFINED_SIDE, first_guess, in_unit_sphere
from threed.pose_refinement import (
    POINTS_A_VIEW,
    Freedom,
    Turn,
    even_freedom,
    refined_steps,
    root_shortfall,
)
from threed.progress import Progress, finish, told
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
OWN_STEPS = 12
"""In which the single cameras' motions are found."""
USUAL_FOV_DEG = 40.0
"""Where the search for an untold field of view starts."""
SEARCHING = "looking for the cameras that the frames agree with"


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
    """Return cameras for a clip about one still object, as `orbit_steps` does, telling nobody."""
    return finish(orbit_steps(frames, fov_y, config, indices))


def orbit_steps(
    frames: Float[Tensor, "frame height width 4"],
    fov_y: float,
    config: PoseConfig,
    indices: list[int] | None = None,
) -> Generator[Progress, None, OrbitPoses]:
    """Yield the progress of the search, and return a clip's cameras about one still object.

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
    indices = indices or list(range(len(frames)))
    check_unbroken(apart, [indices[frame] + 1 for frame in kept])
    times = moving_times(kept, indices)
    judged = evenly(len(kept), JUDGED_FRAMES)
    pictures = small[kept][judged]
    start = first_guess(frames[kept], times, fov_y)

    def judge(turn: Turn, num_turns: float) -> _Trial:
        chosen = turn.cameras()[judged]
        # A rounded aspect ratio is no matter at this size.
        size = {"width": pictures.shape[2], "height": pictures.shape[1]}
        return _Trial(
            turn=turn, num_turns=num_turns, misfit=misfit(pictures, replace(chosen, **size))
        )

    elevations = COARSE_ELEVATIONS_DEG if config.elevation_deg is None else (config.elevation_deg,)
    returns = possible_turns(apart)
    whole = bool(returns)
    guesses = [
        (turns, [_turned(start, turns, way, degrees) for degrees in elevations])
        for turns in returns or OPEN_TURNS
        for way in (1, -1)
    ]
    lines = outlines(shrink(frames[kept], REFINED_SIDE)[..., 3], POINTS_A_VIEW)
    search = _search(guesses, lines, judged, judge, config, whole)
    most = _most_steps(guesses, config)
    best, shortfall = yield from told(search, "video", SEARCHING, most)
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


def _most_steps(guesses: list[tuple[float, list[Turn]]], config: PoseConfig) -> int:
    """Return how many steps the search takes where no refinement ends before its last."""
    refinements = min(TRIALS_REFINED, len(guesses)) * len(_zooms(config)) + 2
    return sum(len(turns) for _, turns in guesses) + Freedom.num_steps * refinements + OWN_STEPS


def _search(
    guesses: list[tuple[float, list[Turn]]],
    lines: Outlines,
    judged: list[int],
    judge: Callable[[Turn, float], _Trial],
    config: PoseConfig,
    whole: bool,
) -> Generator[None, None, tuple[_Trial, float]]:
    """Return what agrees best with the pictures, and the outlines' shortfall; a step each yield.

    Args:
        guesses: Numbers of turns, each with turns at several elevations.
        lines: Of all frames.
        judged: The frames that are compared.
        judge: Compares them.
        config: What is told.
        whole: Whether the frames return.
    """
    trials: list[_Trial] = []
    for num_turns, turns in guesses:
        tried: list[_Trial] = []
        for turn in turns:
            tried.append(judge(turn, num_turns))
            yield
        trials.append(min(tried, key=lambda trial: trial.misfit))
    best = yield from _best_refined(trials, lines, judged, judge, config, whole)
    if best.misfit >= HOPELESS:
        return best, math.inf
    return (yield from _own_cameras(best, lines, judged, judge, config, whole))


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
) -> Generator[None, None, _Trial]:
    """Return the trial that agrees best when its few numbers are refined on the judged frames."""
    trials = sorted(trials, key=lambda trial: trial.misfit)[:TRIALS_REFINED]
    trials = [trial for trial in trials if trial.misfit < 2 * trials[0].misfit]
    some = lines.select(judged)
    best = None
    for trial in sorted(trials, key=lambda trial: trial.num_turns):
        turn = yield from _refined_even(trial, some, judged, config, whole)
        found = judge(replace(trial.turn, shape=turn.shape), trial.num_turns)
        # More turns must agree clearly better, for a symmetric object allows them all.
        asked = 0.8 if best is not None and trial.num_turns > 1.05 * best.num_turns else 1.0
        if best is None or found.misfit < asked * best.misfit:
            best = found
    assert best is not None
    return best


def _zooms(config: PoseConfig) -> tuple[float, ...]:
    return FIRST_ZOOMS if config.fov_deg is None else (1.0,)


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
) -> Generator[None, None, Turn]:
    """Return the best even turn from a trial, started from several lenses where none is told."""
    starts = []
    for zoom in _zooms(config):
        shape = trial.turn.shape.clone()
        shape[-1] += math.log(zoom)
        start = replace(trial.turn, shape=shape).select(judged)
        starts.append((yield from refined_steps(start, some, _freedom(trial, config, whole))))
    return min(starts, key=lambda start: start[1])[0]


def _own_cameras(
    best: _Trial,
    lines: Outlines,
    judged: list[int],
    judge: Callable[[Turn, float], _Trial],
    config: PoseConfig,
    whole: bool,
) -> Generator[None, None, tuple[_Trial, float]]:
    """Return the trial with waves and each camera's own motion, and the outlines' shortfall."""
    even = _freedom(best, config, whole)
    some = lines.select(judged)
    turn, shortfall = yield from refined_steps(best.turn.select(judged), some, even)
    # What is free follows the mattes' noise too: only what explains much more is taken.
    waves = 0.0
    waving, less = yield from refined_steps(turn, some, replace(even, waves=WAVE_SIZE))
    if less < CLEARLY * shortfall:
        turn, waves = waving, WAVE_SIZE
    turn = replace(best.turn, shape=turn.shape, waves=turn.waves)
    shortfall = root_shortfall(find_shortfall(lines, turn.cameras()))
    if shortfall < CLEAN:
        return judge(turn, best.num_turns), shortfall
    motion = (MOTION_TURN, MOTION_SHIFT)
    free = replace(even, waves=waves, motion=motion, num_steps=OWN_STEPS)
    straying, less = yield from refined_steps(turn, lines, free)
    if less < CLEARLY * shortfall:
        turn, shortfall = straying, less
    return judge(turn, best.num_turns), shortfall


def _angle_turned(cameras: Cameras) -> float:
    """Return how far round the cameras go from first to last, radians."""
    steps = camera_angles(cameras)[0].diff()
    return float(torch.atan2(steps.sin(), steps.cos()).sum())
