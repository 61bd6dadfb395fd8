import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.hand_held import hand_held
from tests.threed.balls import balls, turn
from threed.cameras import Cameras, camera_angles, look_at_origin
from threed.errors import NoTurnError
from threed.feature_poses import NotPlacedError, Placed, _write_pictures, place_steps, poses_of
from threed.pose_refinement import rotation
from threed.poses import PoseConfig
from threed.progress import finish
from threed.source import SourceConfig, orbit_of_turn

FOV = math.radians(47.0)
GUESS = math.radians(40.0)


def film(num_frames: int = 24, *, textured: bool = True) -> tuple[Cameras, torch.Tensor]:
    """A hand's path round the balls, and what it films."""
    cameras = hand_held(num_frames, fov_y=FOV, width=160, height=144, seed=1)
    texture = torch.rand(3, 24, 24, 24, generator=torch.Generator().manual_seed(0))
    return cameras, balls(cameras, texture=texture if textured else None)


def fov_found(placed: Placed, frames: torch.Tensor) -> float:
    return 2 * math.atan(0.5 * frames.shape[1] / placed.focal)


def turned_between(cameras: Cameras) -> torch.Tensor:
    """How every view stands turned against the first, which no choice of world changes."""
    return cameras.c2w[0, :3, :3].T @ cameras.c2w[:, :3, :3]


def degrees_apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    trace = (a.mT @ b).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    return torch.rad2deg(torch.acos((0.5 * (trace - 1)).clamp(-1, 1)))


def test_cameras_of_any_world_come_into_the_house_s() -> None:
    """y up, the object about the origin and inside the unit sphere, the first view in front."""
    azimuth = 2.0 + 2 * math.pi * torch.arange(20) / 20
    elevation = 0.3 + 0.25 * torch.sin(3 * azimuth)
    true = Cameras(
        c2w=look_at_origin(azimuth, elevation, 3.0 + 0.3 * torch.cos(2 * azimuth)),
        fov_y=torch.full((20,), GUESS),
        width=96,
        height=96,
    )
    frames = balls(true)
    spin = rotation(torch.tensor([[0.7, -1.9, 0.4]]))[0]
    c2w = true.c2w.clone()
    c2w[:, :3, :3] = spin @ c2w[:, :3, :3]
    c2w[:, :3, 3] = 7.0 * c2w[:, :3, 3] @ spin.T + torch.tensor([4.0, -9.0, 2.0])
    placed = Placed(frames=list(range(20)), c2w=c2w, focal=float(true.focal[0]))
    poses = poses_of(placed, frames, GUESS)
    found_azimuth, found_elevation, radius = camera_angles(poses.cameras)
    # The balls' middle is not the origin they were cast about, so angles agree only nearly.
    steps = torch.rad2deg(found_azimuth.diff() - azimuth.diff())
    assert float(torch.atan2(found_azimuth[0].sin(), found_azimuth[0].cos()).abs()) < 1e-5
    assert float(((steps + 180) % 360 - 180).abs().max()) < 4.0
    torch.testing.assert_close(found_elevation, elevation, atol=0.08, rtol=0)
    assert float(degrees_apart(turned_between(poses.cameras), turned_between(true)).max()) < 0.1
    assert float(poses.cameras.c2w[:, 1, 0].abs().max()) < 1e-4, "cameras' right is level"
    assert poses.counter_clockwise and 0.97 < poses.num_turns < 1.03
    assert 2.0 < float(radius.mean()) < 5.0 and poses.misfit < 0.1 and poses.shortfall < 0.5


def test_a_half_turn_is_none() -> None:
    azimuth = torch.linspace(0, math.pi, 12)
    c2w = look_at_origin(azimuth, torch.full((12,), 0.2), torch.full((12,), 3.2))
    true = Cameras(c2w=c2w, fov_y=torch.full((12,), GUESS), width=64, height=64)
    placed = Placed(frames=list(range(12)), c2w=c2w, focal=float(true.focal[0]))
    with pytest.raises(NotPlacedError, match="does not go round"):
        poses_of(placed, balls(true), GUESS)


def test_texture_tells_an_uneven_path_and_its_lens_and_again_the_same() -> None:
    pytest.importorskip("pycolmap")
    true, frames = film()
    placed = finish(place_steps(frames.numpy(), GUESS, fov_known=False))
    assert len(placed.frames) >= 22
    assert math.degrees(abs(fov_found(placed, frames) - FOV)) < 2.5
    poses = poses_of(placed, frames, fov_found(placed, frames))
    chosen = true[placed.frames]
    assert float(degrees_apart(turned_between(poses.cameras), turned_between(chosen)).max()) < 2.5
    # Up is the world's: heights above the horizon are those that were walked.
    found, walked = camera_angles(poses.cameras)[1], camera_angles(chosen)[1]
    assert float(torch.rad2deg(found - walked).abs().max()) < 5.0
    assert poses.misfit < 0.1 and poses.by_texture
    again = finish(place_steps(frames.numpy(), GUESS, fov_known=False))
    assert again.frames == placed.frames and again.focal == placed.focal
    assert torch.equal(again.c2w, placed.c2w)


def test_a_told_lens_is_kept() -> None:
    pytest.importorskip("pycolmap")
    _, frames = film()
    placed = finish(place_steps(frames.numpy(), FOV, fov_known=True))
    assert math.isclose(fov_found(placed, frames), FOV, rel_tol=1e-6)


def test_what_has_no_texture_is_not_placed() -> None:
    pytest.importorskip("pycolmap")
    with pytest.raises(NotPlacedError, match="of 12 frames"):
        finish(place_steps(film(12, textured=False)[1].numpy(), GUESS, fov_known=False))


def close_once_there(command: list[str], sign: Path) -> None:
    """Start a search, end its caller's side once it has written a file, and see it end."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdin is not None
        deadline = time.monotonic() + 60
        while not sign.exists():
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.stdin.close()
        assert process.wait(timeout=2) == 1


def test_the_search_ends_with_its_caller_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    folder = tmp_path / "search"
    folder.mkdir()
    _write_pictures(folder, film(24)[1].numpy(), (640, 576))
    (folder / "task.json").write_text('{"focal": 700.0, "focal_known": false}')
    command = [sys.executable, "-m", "threed.colmap", str(folder)]
    close_once_there(command, folder / "database.db")
    assert not folder.exists()


def test_what_the_search_still_writes_does_not_keep_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "search"
    folder.mkdir()
    program = """
import contextlib, sys, threading
from pathlib import Path
from threed.colmap import _end_with_caller
folder = Path(sys.argv[1])
threading.Thread(target=_end_with_caller, args=(folder,), daemon=True).start()
index = 0
while True:
    index += 1
    with contextlib.suppress(OSError):
        folder.mkdir(exist_ok=True)
        (folder / str(index % 999)).write_text("more")
"""
    command = [sys.executable, "-c", program, str(folder)]
    close_once_there(command, folder / "9")
    assert not folder.exists()


def straight(frames: torch.Tensor) -> np.ndarray:
    """A clip's bytes with straight alpha."""
    colour = frames[..., :3] / frames[..., 3:].clamp(min=1 / 255)
    clip = torch.cat([colour.clamp(0, 1), frames[..., 3:]], dim=-1)
    return (255 * clip).round().byte().numpy()


@pytest.mark.slow
def test_a_clip_by_hand_is_refused_without_its_texture_and_read_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pycolmap")
    clip = straight(film(24)[1])
    config = SourceConfig(size=64, poses=PoseConfig(fov_deg=47.0))
    with monkeypatch.context() as patch:
        # As Python has a package that is not installed.
        patch.setitem(sys.modules, "pycolmap", None)
        with pytest.raises(NoTurnError, match="do not agree.*pycolmap"):
            orbit_of_turn(clip, config)
    source = orbit_of_turn(clip, config)
    assert "placed by the object's texture" in source.notes[0]
    assert source.fov_y is not None and math.isclose(source.fov_y, FOV, rel_tol=1e-5)
    assert source.orbit.num_frames == len(source.frames or ()) >= 20


def test_a_clip_that_neither_way_explains_is_refused_with_both_reasons() -> None:
    pytest.importorskip("pycolmap")
    with pytest.raises(NoTurnError, match="does not end.*; the object's texture places only"):
        orbit_of_turn(straight(turn(30)[:14]), SourceConfig(size=64))
