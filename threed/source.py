"""What a user may hand to the 3D stage, and how each kind becomes an orbit video.

A clip, a folder of pictures, a folder in nerfstudio's format, or what a run of this program left:
its orbit.npz or the run folder that holds it.
"""

import json
import math
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from threed.background import NOTE, PictureCutter, cut_out_clip
from threed.clip_alpha import NOTE as ALPHA_NOTE
from threed.clip_alpha import is_matte, without_alpha
from threed.dataset import MAX_VIEWS, cameras_up, read_dataset
from threed.errors import NoTurnError, RequestError
from threed.feature_poses import (
    MISSING,
    UNEVEN,
    NotPlacedError,
    Placed,
    better,
    can_place,
    place_steps,
    poses_of,
)
from threed.first_guess import REFINED_SIDE
from threed.matte import check_one_object
from threed.orbit import OrbitVideo
from threed.orbit_files import read_orbit
from threed.patience import awaited
from threed.picture_folder import pictures_in, read_pictures
from threed.poses import (
    MOST_MISFIT,
    MOST_SHORTFALL,
    USUAL_FOV_DEG,
    OrbitPoses,
    PoseConfig,
    orbit_steps,
)
from threed.progress import Progress, finish, told
from threed.resample import Lens, frame_size, object_extent, resample
from threed.turns import check_count
from threed.upright import Up
from threed.video_io import MAX_FRAMES, read_clip

SIZES = (32, 1024)
READING = "reading the pictures"
PLACING = "placing the frames by the object's texture"


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """How a source is read."""

    size: int = 128
    """Longer side of the frames that the 3D stage sees, pixels, in [32, 1024]."""
    poses: PoseConfig = field(default_factory=PoseConfig)
    """What is told about a clip that comes without cameras."""
    by_texture: bool = True
    """Whether a filmed path that is no even turn is sought by the points that pictures share."""
    by_model: bool = True
    """Whether a segmentation model, if there, may cut objects out where no background is plain."""

    def __post_init__(self) -> None:
        if not SIZES[0] <= self.size <= SIZES[1]:
            raise RequestError(f"size is {self.size}; can be {SIZES[0]} to {SIZES[1]} pixels")


@dataclass(frozen=True, kw_only=True)
class Source:
    """An orbit video as read."""

    orbit: OrbitVideo
    up: Up
    """The axis of the orbit's coordinates that points up."""
    notes: tuple[str, ...]
    """What was assumed or measured, a sentence each, for the user."""
    misfit: float | None = None
    """How badly the frames agree under cameras that were found, 0 is perfectly; None if given."""
    frames: tuple[int, ...] | None = None
    """Which frames of a clip's file the orbit has; None for what is no clip."""
    fov_y: float | None = None
    """The whole clip's vertical field of view, radians; the orbit's is that of its crop."""


def is_orbit_video(path: Path) -> bool:
    """Return whether a source is read as an orbit.npz, whose frames have a size of their own."""
    return path.suffix == ".npz" or (path / "orbit.npz").is_file()


def most_frames(path: Path) -> int:
    """Return how many frames at most a clip, pictures or a transforms.json are read as."""
    listing = path / "transforms.json" if path.is_dir() else path
    if path.is_dir() and not listing.is_file():
        return min(len(pictures_in(path)), MAX_FRAMES)
    if not listing.name.lower().endswith(".json"):
        return MAX_FRAMES
    try:
        return min(len(json.loads(listing.read_text("utf-8"))["frames"]), MAX_VIEWS)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        # Reading the source will say what is wrong.
        return 0


def read_source(path: Path | str, config: SourceConfig) -> Source:
    """Return the orbit video that a path stands for, as `source_steps` does, telling nobody."""
    return finish(source_steps(path, config))


def source_steps(path: Path | str, config: SourceConfig) -> Generator[Progress, None, Source]:
    """Yield the progress of what takes long in reading, and return the path's orbit video.

    Raises:
        RequestError: There is nothing there, or nothing that shows an object from around.
        InstallationError: A segmentation model is there, is needed, and is damaged.
    """
    path = Path(path)
    try:
        is_folder, is_file = path.is_dir(), path.exists()
    except (OSError, ValueError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from error
    if not is_file:
        raise RequestError(f"there is no file or folder at {path}")
    if is_orbit_video(path):
        orbit = read_orbit(path)
        return Source(orbit=orbit, up=cameras_up(orbit.cameras), notes=())
    if is_folder and not (path / "transforms.json").is_file() and pictures_in(path):
        return (yield from _read_turntable(path, config))
    if is_folder or path.name.lower().endswith(".json"):
        cutter, more = PictureCutter(config.by_model), []
        orbit, up = read_dataset(path, config.size, cutter, more)
        note = f"{orbit.num_frames} pictures with their cameras; {up} is up"
        if cutter.num_by_model:
            more.append(f"in {cutter.num_by_model} pictures {NOTE}")
        return Source(orbit=orbit, up=up, notes=(note, *more))
    return (yield from _read_turntable(path, config))


def _read_turntable(path: Path, config: SourceConfig) -> Generator[Progress, None, Source]:
    read = read_pictures if path.is_dir() else read_clip
    clip = yield from told(awaited(lambda: read(path)), "video", READING)
    frames = clip.frames if clip.has_alpha else clip.frames[..., :3]
    try:
        check_count(len(frames))
        source = yield from turn_steps(frames, config, clip.num_source_frames, clip.indices)
        return replace(source, notes=(*source.notes, *clip.notes))
    except RequestError as error:
        raise RequestError(f"{path}: {error}") from error


def orbit_of_turn(
    clip: UInt8[np.ndarray, "frame height width channel"], config: SourceConfig
) -> Source:
    """Return the orbit that a clip of whole turns shows, as `turn_steps` does, telling nobody."""
    return finish(turn_steps(clip, config))


def turn_steps(
    clip: UInt8[np.ndarray, "frame height width channel"],
    config: SourceConfig,
    num_source_frames: int | None = None,
    indices: list[int] | None = None,
) -> Generator[Progress, None, Source]:
    """Yield the progress of what takes long, and return the orbit that a clip of turns shows.

    Args:
        clip: Frames with straight alpha as a fourth channel, or without. Alpha that outlines
            nothing counts as none.
        config: How it is read.
        num_source_frames: Frames of the file that the clip was chosen from.
        indices: Which of these the clip's frames are; None is evenly chosen.

    Raises:
        RequestError: No object stands out, or its frames are no turn about it.
        InstallationError: A segmentation model is there, is needed, and is damaged.
    """
    if clip.shape[-1] == 4 and is_matte(clip[..., 3]):
        pictures, notes = _premultiplied(clip), ()
    else:
        colours = without_alpha(clip) if clip.shape[-1] == 4 else clip
        cut = yield from cut_out_clip(colours, config.by_model)
        pictures = cut.pictures
        notes = cut.notes if clip.shape[-1] == 3 else (ALPHA_NOTE, *cut.notes)
    check_one_object(pictures[..., 3])
    told = config.poses.fov_deg
    guess = math.radians(USUAL_FOV_DEG if told is None else told)
    frames, fov_y = _crop(pictures, guess, config.size)
    poses = yield from _find(pictures, frames, fov_y, guess, config, indices)
    frames = frames[poses.kept]
    orbit = OrbitVideo(
        albedo=frames[..., :3].contiguous(),
        alpha=frames[..., 3].contiguous(),
        normals=None,
        cameras=poses.cameras,
    )
    # The crop has the same share of the whole frame's tangent plane, whatever the focal length.
    found = math.tan(0.5 * float(poses.cameras.fov_y[0])) / math.tan(0.5 * fov_y)
    whole = 2 * math.atan(found * math.tan(0.5 * guess))
    return Source(
        orbit=orbit,
        up="y",
        notes=(_note(poses, config.poses, whole, num_source_frames or len(clip)), *notes),
        misfit=poses.misfit,
        frames=tuple(poses.kept if indices is None else [indices[i] for i in poses.kept]),
        fov_y=whole,
    )


def _find(
    pictures: Float[np.ndarray, "frame height width 4"],
    frames: Float[Tensor, "frame rows columns 4"],
    fov_y: float,
    guess: float,
    config: SourceConfig,
    indices: list[int] | None,
) -> Generator[Progress, None, OrbitPoses]:
    """Yield the progress of the search, and return an even turn's poses or the texture's.

    Those that the object's texture tells are taken where they are better.

    Raises:
        RequestError: Neither way explains the frames.
    """
    found, refusal = None, None
    try:
        found = yield from orbit_steps(frames, fov_y, config.poses, indices)
        if not config.by_texture or found.shortfall < UNEVEN:
            return found
    except NoTurnError as error:
        if not config.by_texture:
            raise
        refusal = error
    if not can_place():
        if found is not None:
            return found
        raise NoTurnError(f"{refusal}; {MISSING}") from refusal
    try:
        placed = yield from _placed(pictures, guess, config.poses.fov_deg is not None)
        cropped = math.tan(0.5 * fov_y) * 0.5 * pictures.shape[1] / math.tan(0.5 * guess)
        other = poses_of(placed, frames, 2 * math.atan(cropped / placed.focal))
        _check_agreement(other, frames)
    except NotPlacedError as error:
        if found is not None:
            return found
        raise NoTurnError(f"{refusal}; {error}") from error
    return other if found is None or better(other, found) else found


def _placed(
    pictures: Float[np.ndarray, "frame height width 4"], fov_y: float, fov_known: bool
) -> Generator[Progress, None, Placed]:
    """Yield progress about every half second, and return what `place_steps` does."""
    return told(place_steps(pictures, fov_y, fov_known), "video", PLACING)


def _check_agreement(poses: OrbitPoses, frames: Float[Tensor, "frame rows columns 4"]) -> None:
    """Hold poses that texture told to what an even turn's must reach.

    Raises:
        NotPlacedError: Pictures or outlines disagree under them.
    """
    side = min(REFINED_SIDE, max(frames.shape[1:3]))
    if poses.misfit > MOST_MISFIT or poses.shortfall > MOST_SHORTFALL * side:
        raise NotPlacedError(
            "the object's texture places the frames, but they do not agree with one object there"
        )


def _note(poses: OrbitPoses, config: PoseConfig, fov_y: float, count: int) -> str:
    turns = f"{poses.num_turns:.1f}".removesuffix(".0")
    turns = "one turn" if turns == "1" else f"{turns} turns"
    way = "counter-clockwise" if poses.counter_clockwise else "clockwise"
    elevation, fov = (
        "measured" if value is None else "told" for value in (config.elevation_deg, config.fov_deg)
    )
    how = " placed by the object's texture" if poses.by_texture else ""
    if poses.by_texture:
        elevation = "measured"
    return (
        f"{len(poses.kept)} of {count} frames{how}, {turns}, the camera going {way} "
        f"seen from above, elevation {poses.elevation_deg:.3g} degrees ({elevation}), field of "
        f"view {math.degrees(fov_y):.3g} degrees ({fov})"
    )


def _premultiplied(
    frames: UInt8[np.ndarray, "frame height width 4"],
) -> Float[np.ndarray, "frame height width 4"]:
    pictures = frames.astype(np.float32) / 255
    pictures[..., :3] *= pictures[..., 3:]
    return pictures


def _crop(
    pictures: Float[np.ndarray, "frame height width 4"], fov_y: float, size: int
) -> tuple[Float[Tensor, "frame rows columns 4"], float]:
    """Return frames cut about the picture's centre to where the object is, and their fov_y."""
    height, width = pictures.shape[1:3]
    focal = 0.5 * height / math.tan(0.5 * fov_y)
    lens = Lens(fl_x=focal, fl_y=focal, cx=width / 2, cy=height / 2)
    extent = object_extent(pictures[..., 3].max(axis=0), lens)
    if extent.min() <= 0:
        raise RequestError("every frame is fully transparent")
    # No wider than the clip: what it does not show is not known to be empty.
    full = np.array([width, height]) / (2 * focal)
    columns, rows, fov = frame_size(extent, size, full)
    frames = np.stack([resample(picture, lens, columns, rows, fov) for picture in pictures])
    return torch.from_numpy(frames), fov
