"""Scores of the clips that are no orbits: does the thing, or the camera, move as it was told?

What moves in a clip is read off the object's outline: its middle and its size in every frame. A
ball that moves as it should is drawn beside, and the motion whose ball the clip follows best is
what it shows. Turning on the spot moves no outline; such clips are on the sheet alone.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipelines.models.protocol import VideoModel
from pipelines.motions import find_motion
from pipelines.request import GenerationRequest
from pipelines.training.motions import MOVES, MovingClip, as_seen_at_rest, place
from pipelines.training.prompts import FILMED, MOVING, TURNING
from pipelines.training.sheets import contact_sheet, write_png
from pipelines.video.camera_paths import path_cameras
from threed.cameras import Cameras, camera_rays
from threed.orbit import OrbitVideo, display_frames
from threed.progress import finish

NUM_FRAMES = 24
SHEET_FRAMES = (0, 3, 6, 9, 12, 15, 18, 21)
CAMERAS = ("zoom-in", "zoom-out", "dolly-in", "dolly-out", "crane-up", "crane-down", "arc")
FOLLOWED = 0.95
"""Correlation of a thing's size with what the lens or the distance makes of a ball's."""
SEEN = 0.01
"""Share of the frame below which a thing has no middle worth a comparison."""
# What looks alike on a screen counts as one.
ALIKE = {"roll": "pass"}
SHOWN = ("bounce", "pass", "swing", "grow", "shrink", "fall", "rise", "still")


@dataclass(frozen=True, kw_only=True)
class MotionScore:
    """How one prompt came out."""

    prompt: str
    wanted: str
    shown: str
    """The motion whose ball the clip follows best; of SHOWN."""


def outline_track(alpha: Float[Tensor, "frame height width"]) -> Float[Tensor, "frame 3"]:
    """Return the outline's middle (x right, y up, in half frames) and its size in each frame.

    A frame that shows too little of the thing has no middle: NaN.
    """
    height, width = alpha.shape[1:]
    area = alpha.mean(dim=(1, 2))
    across = torch.linspace(-1, 1, width).expand(height, width)
    up = torch.linspace(1, -1, height)[:, None].expand(height, width)
    weight = alpha / alpha.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    middle = torch.stack([(weight * axis).sum(dim=(1, 2)) for axis in (across, up)], dim=-1)
    middle = torch.where(area[:, None] < SEEN, torch.nan, middle)
    return torch.cat([middle, area.sqrt()[:, None]], dim=-1)


def ball_alpha(cameras: Cameras, radius: float = 0.8) -> Float[Tensor, "frame height width"]:
    """Return where cameras see a ball about the origin."""
    origins, directions = camera_rays(cameras)
    nearest = torch.linalg.cross(origins, directions).norm(dim=-1)
    return (nearest < radius).float()


def ball_track(motion: str, num_frames: int = NUM_FRAMES) -> Float[Tensor, "frame 3"]:
    """Return the track of a ball that moves so before a still camera."""
    cameras = path_cameras("still", num_frames, size=64, elevation=0.26)
    if motion == "still":
        return outline_track(ball_alpha(cameras))
    clip = MovingClip(
        move=MOVES.index(motion), cameras=cameras, placement=place(motion, num_frames, -0.8)
    )
    return outline_track(ball_alpha(as_seen_at_rest(clip)))


def motion_shown(track: Float[Tensor, "frame 3"]) -> str:
    """Return the motion whose ball an outline follows best, whatever its place and size are."""

    def distance(motion: str) -> float:
        ball = ball_track(motion, len(track))
        both = ~(track.isnan() | ball.isnan()).any(dim=1)
        if int(both.sum()) < len(track) // 4:
            return torch.inf
        mine, its = track[both], ball[both]
        return float(((mine - mine.mean(dim=0)) - (its - its.mean(dim=0))).square().mean())

    return min(SHOWN, key=distance)


def draw(model: VideoModel, prompt: str, camera: str = "auto", seed: int = 0) -> OrbitVideo:
    """Return the video of a prompt."""
    request = GenerationRequest(
        prompt=prompt, seed=seed, num_frames=NUM_FRAMES, camera=camera, video_only=True
    )
    return finish(model.sample(request, torch.Generator().manual_seed(seed)))


def score_moves(model: VideoModel, out: Path, seed: int = 0) -> dict[str, Any]:
    """Return the scores of motions and of camera moves; writes their sheets.

    Beside the first stands how often the same things do what is asked when nobody asks for it.
    """
    scores, rows, still = [], [], 0
    for prompt, wanted in MOVING.items():
        orbit = draw(model, prompt, seed=seed)
        rows.append(_row(orbit))
        shown = motion_shown(outline_track(orbit.alpha))
        scores.append(MotionScore(prompt=prompt, wanted=wanted, shown=shown))
        found = find_motion(prompt)
        assert found is not None, f"{prompt!r} asks for no motion"
        quiet = draw(model, found[1], "still", seed)
        still += motion_shown(outline_track(quiet.alpha)) == ALIKE.get(wanted, wanted)
    rows += [_row(draw(model, prompt, seed=seed)) for prompt in TURNING]
    write_png(contact_sheet(torch.stack(rows)), out / "motion.png")
    return {
        "motion": {
            "num_prompts": len(scores),
            "as_asked": sum(s.shown == ALIKE.get(s.wanted, s.wanted) for s in scores),
            "baseline": still,
            "prompts": [asdict(score) for score in scores],
        },
        "cameras": _camera_scores(model, out, seed),
    }


def _camera_scores(model: VideoModel, out: Path, seed: int) -> dict[str, Any]:
    rows, correlations, unmoved = [], {}, []
    for prompt in FILMED:
        still = outline_track(draw(model, prompt, "still", seed).alpha)[:, 2]
        for camera in CAMERAS:
            orbit = draw(model, prompt, camera, seed)
            rows.append(_row(orbit))
            if camera.startswith(("zoom", "dolly")):
                ball = outline_track(ball_alpha(orbit.cameras, radius=0.5))[:, 2]
                size = outline_track(orbit.alpha)[:, 2]
                correlations[f"{prompt}, {camera}"] = _correlation(size, ball)
                unmoved.append(_correlation(still, ball))
    write_png(contact_sheet(torch.stack(rows)), out / "cameras.png")
    return {
        "num_clips": len(correlations),
        "followed": sum(found >= FOLLOWED for found in correlations.values()),
        "baseline": sum(found >= FOLLOWED for found in unmoved),
        "correlations": correlations,
    }


def _correlation(first: Float[Tensor, " frame"], second: Float[Tensor, " frame"]) -> float:
    return float(torch.corrcoef(torch.stack([first, second]))[0, 1].nan_to_num())


def _row(orbit: OrbitVideo) -> Float[Tensor, "view height width 3"]:
    return display_frames(orbit)[list(SHEET_FRAMES)]
