"""Cameras for a clip of a textured thing on no even path, by the points its pictures share.

`threed.colmap`, in a process of its own, does the finding; here is what comes before and after:
pictures and mattes as files, and cameras of any world brought into the house's own. Where the
package pycolmap is missing, all else works without.
"""

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from threed.agreement import GRID, JUDGED_SIDE, carve, misfit, shrink
from threed.cameras import Cameras, camera_angles
from threed.coherence import outlines, shortfall
from threed.first_guess import REFINED_SIDE, in_unit_sphere
from threed.pose_refinement import POINTS_A_VIEW, root_shortfall
from threed.poses import (
    JUDGED_FRAMES,
    LEAST_TURNS,
    MOST_FOV,
    OrbitPoses,
)
from threed.turns import MIN_FRAMES, evenly

PACKAGE = "pycolmap"
MISSING = (
    "the package pycolmap, which is missing here, follows a hand's uneven path too where a thing "
    "has a fine texture (pip install -r requirements.txt)"
)
SECONDS = 300.0
"""Wall time until the search is given up."""
PULSE = 0.5
"""Seconds between two signs of life."""
LONGEST_SIDE = 640
"""Pictures are searched at this size at most, pixels."""
LEAST_SHARE = 0.8
"""Of the frames must get a camera, or parts of the object would be left out."""
UNEVEN = 0.3
"""Outlines that miss each other by more pixels, after all refinement, are of no even turn."""
GREY = 0.5


@dataclass(frozen=True, kw_only=True)
class Placed:
    """The frames that were placed, and by what lens."""

    frames: list[int]
    """Which of the frames have a camera, in order."""
    c2w: Float[Tensor, "view 4 4"]
    """OpenGL's axes, in some world of COLMAP's."""
    focal: float
    """Of the pictures as given, pixels."""


class NotPlacedError(Exception):
    """The pictures' points tell no turn; the text says so as the end of a sentence."""


def can_place() -> bool:
    """Return whether the package is there."""
    return importlib.util.find_spec(PACKAGE) is not None


def place_steps(
    pictures: Float[np.ndarray, "frame height width 4"],
    fov_y: float,
    fov_known: bool,
) -> Generator[None, None, Placed]:
    """Yield about every half second, and return the frames that COLMAP can place.

    Closing ends the search at once.

    Args:
        pictures: Whole, premultiplied RGBA: the principal point is the middle.
        fov_y: Radians.
        fov_known: Whether that is told; else it is where the search starts.

    Raises:
        NotPlacedError: It places too few, takes too long or breaks down.
    """
    height, width = pictures.shape[1:3]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    size = (round(width * scale), round(height * scale))
    with tempfile.TemporaryDirectory(prefix="lathe-colmap-") as name:
        folder = Path(name)
        _write_pictures(folder, pictures, size)
        focal = 0.5 * size[1] / math.tan(0.5 * fov_y)
        task = {"focal": focal, "focal_known": fov_known}
        (folder / "task.json").write_text(json.dumps(task), "utf-8")
        yield from _run(folder)
        found = json.loads((folder / "cameras.json").read_text("utf-8"))
    names = sorted(found["cameras"])
    if len(names) < max(MIN_FRAMES, LEAST_SHARE * len(pictures)):
        raise NotPlacedError(
            f"the object's texture places only {len(names)} of {len(pictures)} frames"
        )
    c2w = torch.eye(4).repeat(len(names), 1, 1)
    c2w[:, :3] = torch.tensor([found["cameras"][view] for view in names])
    c2w[:, :3, 1:3] *= -1
    return Placed(
        frames=[int(Path(view).stem) for view in names],
        c2w=c2w,
        focal=found["focal"] * height / size[1],
    )


def _write_pictures(
    folder: Path, pictures: Float[np.ndarray, "frame height width 4"], size: tuple[int, int]
) -> None:
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for index, picture in enumerate(pictures):
        alpha = picture[..., 3:]
        shown = np.concatenate([picture[..., :3] + GREY * (1 - alpha), alpha], axis=-1)
        image = Image.fromarray(np.rint(255 * shown.clip(0, 1)).astype(np.uint8), "RGBA")
        image = image.resize(size, Image.Resampling.BOX)
        image.convert("RGB").save(folder / "images" / f"{index:05d}.png")
        inside = np.asarray(image)[..., 3] > 127
        Image.fromarray(255 * inside.astype(np.uint8)).save(
            folder / "masks" / f"{index:05d}.png.png"
        )


def _run(folder: Path) -> Generator[None, None, None]:
    command = [sys.executable, "-m", "threed.colmap", str(folder)]
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    deadline = time.monotonic() + SECONDS
    with subprocess.Popen(
        command,
        cwd=Path(__file__).resolve().parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **one},
        # Of a group of its own: it notices when this process is killed, and clears up.
        start_new_session=True,
    ) as process:
        try:
            while time.monotonic() < deadline:
                try:
                    status = process.wait(PULSE)
                    break
                except subprocess.TimeoutExpired:
                    yield
            else:
                raise NotPlacedError("placing the frames by the object's texture takes too long")
        except BaseException:
            process.kill()
            raise
    if status:
        raise NotPlacedError("the search by the object's texture broke down")


def poses_of(
    placed: Placed, frames: Float[Tensor, "frame height width 4"], fov_y: float
) -> OrbitPoses:
    """Return placed frames as an orbit's: y up, the object about the origin, the first in front.

    Args:
        placed: By `place`.
        frames: All frames, cropped about the pictures' middle.
        fov_y: The crop's vertical field of view under the placed focal length, radians.

    Raises:
        NotPlacedError: The cameras do not go round the object, or do not stand about it.
    """
    frames = frames[placed.frames]
    cameras = Cameras(
        c2w=_upright(placed.c2w),
        fov_y=torch.full((len(frames),), fov_y),
        width=frames.shape[2],
        height=frames.shape[1],
    )
    cameras = _about(cameras, _seen_centre(cameras, frames))
    if fov_y > MOST_FOV or not _goes_round(cameras):
        raise NotPlacedError("the object's texture says that the camera does not go round it")
    judged = evenly(len(frames), JUDGED_FRAMES)
    small = shrink(frames, JUDGED_SIDE)
    coarse = {"width": small.shape[2], "height": small.shape[1]}
    cameras = in_unit_sphere(cameras, frames)
    hull = carve(small[judged][..., 3], replace(cameras[judged], **coarse)) > 0.4
    if not bool(hull.any()):
        raise NotPlacedError("the outlines do not agree with where the object's texture is")
    cells = hull.nonzero().flip(1)
    middle = 0.5 * (cells.amin(dim=0) + cells.amax(dim=0) + 1) * (2 / GRID) - 1
    cameras = in_unit_sphere(_facing_front(_about(cameras, middle)), frames)
    lines = outlines(shrink(frames, REFINED_SIDE)[..., 3], POINTS_A_VIEW)
    lined = {"width": lines.distance.shape[2], "height": lines.distance.shape[1]}
    azimuth, elevation, _ = camera_angles(cameras)
    steps = azimuth.diff()
    turned = float(torch.atan2(steps.sin(), steps.cos()).sum())
    return OrbitPoses(
        kept=placed.frames,
        cameras=cameras,
        num_turns=abs(turned) / (2 * math.pi) * len(frames) / (len(frames) - 1),
        counter_clockwise=turned > 0,
        elevation_deg=math.degrees(float(elevation.mean())),
        misfit=misfit(small[judged], replace(cameras[judged], **coarse)),
        shortfall=root_shortfall(shortfall(lines, replace(cameras, **lined))),
        by_texture=True,
    )


def better(other: OrbitPoses, found: OrbitPoses) -> bool:
    """Return whether the pictures agree better under poses than under others.

    Outlines are not asked: an even turn's poses were moved until these agree, whatever the rest.
    """
    return other.misfit < found.misfit


def _upright(c2w: Float[Tensor, "view 4 4"]) -> Float[Tensor, "view 4 4"]:
    """Return poses turned so that y is up: what the cameras' horizontal axes are square to."""
    right = c2w[:, :3, 0]
    _, axes = torch.linalg.eigh(right.T @ right)
    up = axes[:, 0] * (axes[:, 0] @ c2w[:, :3, 1].mean(dim=0)).sign()
    back = F.normalize(c2w[0, :3, 3] - (c2w[0, :3, 3] @ up) * up, dim=0)
    turn = torch.stack([torch.linalg.cross(up, back), up, back])
    turned = c2w.clone()
    turned[:, :3] = turn @ c2w[:, :3]
    return turned


def _seen_centre(
    cameras: Cameras, frames: Float[Tensor, "frame height width 4"]
) -> Float[Tensor, "3"]:
    """Return the point nearest to the rays through the middles of the mattes."""
    alpha = frames[..., 3].double()
    mass = alpha.sum(dim=(1, 2)).clamp(min=1e-6)
    column = torch.arange(cameras.width) + 0.5 - 0.5 * cameras.width
    row = 0.5 * cameras.height - torch.arange(cameras.height) - 0.5
    x = (alpha.sum(dim=1) @ column.double()) / mass / cameras.focal
    y = (alpha.sum(dim=2) @ row.double()) / mass / cameras.focal
    local = F.normalize(torch.stack([x, y, -torch.ones_like(x)], dim=-1), dim=-1)
    rays = torch.einsum("vij,vj->vi", cameras.c2w[:, :3, :3].double(), local)
    across = torch.eye(3, dtype=torch.float64) - rays[:, :, None] * rays[:, None, :]
    target = torch.einsum("vij,vj->i", across, cameras.c2w[:, :3, 3].double())
    return torch.linalg.solve(across.sum(dim=0), target).float()


def _about(cameras: Cameras, centre: Float[Tensor, "3"]) -> Cameras:
    c2w = cameras.c2w.clone()
    c2w[:, :3, 3] -= centre
    return replace(cameras, c2w=c2w)


def _facing_front(cameras: Cameras) -> Cameras:
    """Return cameras turned about y so that the first looks at the front."""
    angle = camera_angles(cameras)[0][0]
    cosine, sine = angle.cos(), angle.sin()
    zero, one = torch.zeros(()), torch.ones(())
    turn = torch.stack([cosine, zero, -sine, zero, one, zero, sine, zero, cosine]).view(3, 3)
    c2w = cameras.c2w.clone()
    c2w[:, :3] = turn @ c2w[:, :3]
    return replace(cameras, c2w=c2w)


def _goes_round(cameras: Cameras) -> bool:
    """Return whether no gap between the views' azimuths is wider than an open turn's."""
    azimuth = camera_angles(cameras)[0].sort().values
    gaps = torch.cat([azimuth, azimuth[:1] + 2 * math.pi]).diff()
    return float(gaps.max()) <= 2 * math.pi * (1 - LEAST_TURNS)
