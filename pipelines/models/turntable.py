"""What a large model drew, as an orbit: matted, with its cameras, and how well its frames agree.

A clip that is no turn about one object is kept as a clip, with the reason, and no mesh is made of
it. Backgrounds are plain light grey, because the prompts ask for that and mattes need it.
"""

import math
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from pipelines.errors import RequestError
from pipelines.models.protocol import SamplerStep
from pipelines.request import GenerationRequest
from threed.agreement import JUDGED_SIDE, misfit, shrink
from threed.cameras import Cameras, orbit_cameras
from threed.matte import matte
from threed.orbit import OrbitVideo
from threed.poses import MOST_MISFIT, USUAL_FOV_DEG, PoseConfig
from threed.progress import Progress
from threed.source import SourceConfig, turn_steps

BACKGROUND = 0.85
"""Grey behind the object in clips that are given to a model, sRGB."""
PICTURE_SHARE = 0.8
"""How much of the unit sphere's outline a first picture's object fills."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One clip that was drawn."""

    orbit: OrbitVideo
    misfit: float
    """Disagreement of its frames, 0 is none; infinite for what is no orbit."""
    note: str
    """What was found, in a sentence."""

    def findings(self, attempt: int, num_tries: int) -> dict[str, Any]:
        """Return what a run's record says of the clip that is kept, tries counted from 0."""
        return {
            "kept_clip": f"{attempt + 1} of {num_tries}",
            "misfit": None if self.orbit.kind == "clip" else round(self.misfit, 4),
            "found": self.note,
        }


def found_orbit(
    clip: UInt8[np.ndarray, "frame height width 3"], num_frames: int, elevation_deg: float
) -> Generator[Progress, None, Candidate]:
    """Return the orbit of a clip whose cameras nobody knows, or the clip if it is none.

    Yields the progress of the search, which takes seconds.

    Args:
        clip: Square frames of one turn that may end where it began.
        num_frames: Of the orbit.
        elevation_deg: Where the cameras stand if they cannot be found.
    """
    # Twice as dense as the orbit, so that the repeated first frame is a small part of a step.
    chosen = np.linspace(0, len(clip) - 1, min(len(clip), 2 * num_frames + 1)).round().astype(int)
    try:
        # A model is asked for an even turn; what no such turn explains is drawn badly.
        poses = PoseConfig(fov_deg=USUAL_FOV_DEG)
        # Nor does a drawn scene get a second model beside the first in the GPU's memory.
        size = clip.shape[1]
        config = SourceConfig(size=size, poses=poses, by_texture=False, by_model=False)
        source = yield from turn_steps(clip[chosen], config)
    except RequestError as error:
        return kept_as_clip(clip, num_frames, elevation_deg, str(error))
    orbit = source.orbit
    if orbit.num_frames < num_frames:
        reason = f"only {orbit.num_frames} of {num_frames} different frames show the turn"
        return kept_as_clip(clip, num_frames, elevation_deg, reason)
    even = [index * orbit.num_frames // num_frames for index in range(num_frames)]
    assert source.misfit is not None
    return Candidate(orbit=orbit.select(even), misfit=source.misfit, note=source.notes[0])


def found_after(
    last: SamplerStep,
    clip: UInt8[np.ndarray, "frame height width 3"],
    request: GenerationRequest,
) -> Generator[SamplerStep, None, Candidate]:
    """Search as `found_orbit` does, and tell of it as what goes on after the last denoising step.

    Whoever stops meanwhile keeps the frames, where nothing better is there already.
    """
    asked = request.num_frames, request.elevation_deg
    if last.so_far is None:
        whole = kept_as_clip(clip, *asked, note="its cameras were not looked for")
        last = replace(last, so_far=whole.orbit)
    search = found_orbit(clip, *asked)
    try:
        while True:
            try:
                yield replace(last, doing=next(search).message)
            except StopIteration as finished:
                return finished.value
    finally:
        search.close()


def followed_orbit(
    clip: UInt8[np.ndarray, "frame height width 3"], num_frames: int, elevation_deg: float
) -> Candidate:
    """Return the orbit of a clip that was drawn for `turn_cameras`, or the clip if it is none."""
    chosen = turn_indices(len(clip), num_frames)
    cameras = turn_cameras(len(clip), clip.shape[1], elevation_deg)
    return known_orbit(clip[chosen], cameras[chosen])


def known_orbit(clip: UInt8[np.ndarray, "frame height width 3"], cameras: Cameras) -> Candidate:
    """Return the orbit of frames that were drawn for given cameras, or the clip if they disagree.

    Args:
        clip: One frame a camera.
        cameras: Of the frames' size.
    """
    try:
        pictures = torch.from_numpy(matte(clip))
    except RequestError as error:
        return replace(_whole_frames(clip, cameras), note=str(error))
    small = shrink(pictures, JUDGED_SIDE)
    size = {"width": small.shape[2], "height": small.shape[1]}
    disagreement = misfit(small, replace(cameras, **size))
    if disagreement > MOST_MISFIT:
        note = f"its frames do not follow the cameras (they disagree by {disagreement:.2f})"
        return replace(_whole_frames(clip, cameras), note=note)
    orbit = OrbitVideo(
        albedo=pictures[..., :3].contiguous(),
        alpha=pictures[..., 3].contiguous(),
        normals=None,
        cameras=cameras,
    )
    return Candidate(orbit=orbit, misfit=disagreement, note="drawn for the cameras of the orbit")


def kept_as_clip(
    clip: UInt8[np.ndarray, "frame height width 3"],
    num_frames: int,
    elevation_deg: float,
    note: str,
) -> Candidate:
    """Return some frames of a clip as what they are: pictures without an object or cameras."""
    even = [index * len(clip) // num_frames for index in range(num_frames)]
    cameras = orbit_cameras(num_frames, size=clip.shape[1], elevation=math.radians(elevation_deg))
    return replace(_whole_frames(clip[even], cameras), note=note)


def _whole_frames(clip: UInt8[np.ndarray, "frame height width 3"], cameras: Cameras) -> Candidate:
    frames = torch.from_numpy(clip.astype(np.float32) / 255)
    orbit = OrbitVideo(
        albedo=frames,
        alpha=torch.ones(frames.shape[:3]),
        normals=None,
        cameras=cameras,
        kind="clip",
    )
    return Candidate(orbit=orbit, misfit=math.inf, note="")


def turn_indices(num_clip_frames: int, num_frames: int) -> list[int]:
    """Return the frames of a closed turn that are an orbit's: evenly, without the repeated last."""
    return [round(index * (num_clip_frames - 1) / num_frames) for index in range(num_frames)]


def turn_cameras(num_clip_frames: int, size: int, elevation_deg: float) -> Cameras:
    """Return the cameras of a closed turn: one more than a turn has, the last as the first."""
    turn = orbit_cameras(num_clip_frames - 1, size=size, elevation=math.radians(elevation_deg))
    return turn[[*range(num_clip_frames - 1), 0]]


def on_canvas(cameras: Cameras, width: int, height: int) -> Cameras:
    """Return square cameras widened to a canvas: the same focal length and centre."""
    side = cameras.height
    # The canvas's shorter side shows what the square shows.
    fov_y = 2 * torch.atan(torch.tan(0.5 * cameras.fov_y) * height / min(width, height))
    assert cameras.width == side
    return Cameras(c2w=cameras.c2w, fov_y=fov_y, width=width, height=height)


def square(video: Float[Tensor, "1 3 frame height width"]) -> UInt8[np.ndarray, "frame side row 3"]:
    """Return the middle square of a clip in [-1, 1], as bytes."""
    height, width = video.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = video[0, :, :, top : top + side, left : left + side]
    bytes_ = ((middle + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return rearrange(bytes_, "c f h w -> f h w c").cpu().numpy()


def to_canvas(
    frames: Float[Tensor, "frame side row 3"], width: int, height: int
) -> Float[Tensor, "1 3 frame height width"]:
    """Return opaque square frames in the middle of a grey canvas, as a clip in [-1, 1]."""
    side = min(width, height)
    pictures = rearrange(frames.float().cpu(), "f h w c -> f c h w")
    pictures = F.interpolate(
        pictures, size=(side, side), mode="bilinear", antialias=True, align_corners=False
    )
    left, top = (width - side) // 2, (height - side) // 2
    margins = (left, width - side - left, top, height - side - top)
    canvas = F.pad(pictures, margins, value=BACKGROUND)
    return rearrange(canvas, "f c h w -> 1 c f h w").clamp(0, 1) * 2 - 1


def over_grey(orbit: OrbitVideo) -> Float[Tensor, "frame height width 3"]:
    """Return an orbit's colours over the grey background that models are shown."""
    return (orbit.albedo + BACKGROUND * (1 - orbit.alpha[..., None])).clamp(0, 1)


def matted(
    picture: UInt8[np.ndarray, "height width 3"],
) -> Float[Tensor, "rows columns 4"]:
    """Return a picture's object, premultiplied and cut to its outline.

    Raises:
        RequestError: Nothing stands out from the picture's background.
    """
    rgba = torch.from_numpy(matte(picture[None])[0])
    solid = (rgba[..., 3] > 0.5).nonzero()
    low, high = solid.min(dim=0).values, solid.max(dim=0).values + 1
    return rgba[low[0] : high[0], low[1] : high[1]]


def framed(cut: Float[Tensor, "height width 4"], cameras: Cameras) -> Float[Tensor, "1 side row 3"]:
    """Return an object that was cut out in the middle of the first camera's square, over grey.

    It is scaled so that it fills the outline of the unit sphere as an orbit's object does.
    """
    radius = float(cameras.c2w[0, :3, 3].norm())
    outline = float(cameras.focal[0]) * math.tan(math.asin(1 / radius))
    scale = 2 * PICTURE_SHARE * outline / math.hypot(*cut.shape[:2])
    size = [max(1, min(cameras.height, round(side * scale))) for side in cut.shape[:2]]
    small = F.interpolate(
        rearrange(cut, "h w c -> 1 c h w"), size=tuple(size), mode="bilinear", antialias=True
    )
    top, left = (cameras.height - size[0]) // 2, (cameras.width - size[1]) // 2
    bottom, right = cameras.height - size[0] - top, cameras.width - size[1] - left
    placed = rearrange(F.pad(small, (left, right, top, bottom)), "1 c h w -> h w c")
    return (placed[..., :3] + BACKGROUND * (1 - placed[..., 3:])).clamp(0, 1)[None]


def with_coverage_of(clean: OrbitVideo, frames: Float[Tensor, "frame side row 3"]) -> OrbitVideo:
    """Return opaque square frames at a clip's size, with its coverage and cameras."""
    pictures = F.interpolate(
        rearrange(frames, "f h w c -> f c h w"),
        size=(clean.cameras.height, clean.cameras.width),
        mode="bilinear",
        antialias=True,
    )
    alpha = clean.alpha.float().cpu()
    albedo = rearrange(pictures, "f c h w -> f h w c") - BACKGROUND * (1 - alpha[..., None])
    return OrbitVideo(
        albedo=torch.minimum(albedo.clamp(min=0), alpha[..., None]),
        alpha=alpha,
        normals=None,
        cameras=clean.cameras.to("cpu"),
    )
