from pathlib import Path

import numpy as np
import pytest
import torch

from tests.threed.balls import turn
from threed.cameras import orbit_cameras
from threed.errors import RequestError
from threed.orbit import OrbitVideo
from threed.orbit_files import write_orbit
from threed.poses import PoseConfig
from threed.source import SourceConfig, read_source
from threed.video_io import write_mp4

CONFIG = SourceConfig(size=64, poses=PoseConfig(elevation_deg=15.0))


def write_turntable(path: Path, num_frames: int = 16) -> torch.Tensor:
    """An MP4 over light blue of the balls, going round once."""
    frames = turn(num_frames)
    shown = frames[..., :3] + (1 - frames[..., 3:]) * torch.tensor([0.75, 0.85, 0.95])
    write_mp4(path, (255 * shown).round().byte().numpy())
    return frames


def test_a_clip_becomes_an_orbit_about_the_same_object(tmp_path: Path) -> None:
    """The frames, put back by the cameras found, cover what the rendering covered."""
    truth = write_turntable(tmp_path / "a.mp4")
    source = read_source(tmp_path / "a.mp4", CONFIG)
    orbit = source.orbit
    assert source.up == "y" and orbit.num_frames == 16 and orbit.normals is None
    assert max(orbit.alpha.shape[1:]) == 64 and "counter-clockwise" in source.notes[0]
    # Share of the frame that is covered, in units of the tangent plane, is left by the crop.
    solid_angle = orbit.alpha.mean(dim=(1, 2)) * torch.tan(orbit.cameras.fov_y / 2) ** 2
    solid_angle = solid_angle * orbit.alpha.shape[2] / orbit.alpha.shape[1]
    expected = truth[..., 3].mean(dim=(1, 2)) * np.tan(np.radians(20.0)) ** 2
    torch.testing.assert_close(solid_angle, expected.float(), rtol=0.03, atol=0)


def test_a_run_folder_and_its_npz_are_the_same_source(tmp_path: Path) -> None:
    frames = turn(8)
    orbit = OrbitVideo(
        albedo=frames[..., :3],
        alpha=frames[..., 3],
        normals=None,
        cameras=orbit_cameras(8, size=64),
    )
    write_orbit(tmp_path, orbit)
    from_folder = read_source(tmp_path, CONFIG).orbit
    from_file = read_source(tmp_path / "orbit.npz", CONFIG).orbit
    assert torch.equal(from_folder.albedo, from_file.albedo)
    (tmp_path / "orbit.npz").unlink()
    source = read_source(tmp_path, CONFIG)
    assert "8 pictures" in source.notes[0]
    torch.testing.assert_close(source.orbit.cameras.c2w, from_file.cameras.c2w)


def test_two_frames_and_a_still_object_are_refused_by_name(tmp_path: Path) -> None:
    frames = (255 * turn(8)[..., :3]).byte().numpy()
    write_mp4(tmp_path / "two.mp4", frames[:2])
    write_mp4(tmp_path / "still.mp4", np.repeat(frames[:1], 12, axis=0))
    with pytest.raises(RequestError, match="two.mp4.*at least 8"):
        read_source(tmp_path / "two.mp4", CONFIG)
    with pytest.raises(RequestError, match="still.mp4.*turns"):
        read_source(tmp_path / "still.mp4", CONFIG)


@pytest.mark.parametrize("size", [0, 5000])
def test_impossible_sizes_are_refused(size: int) -> None:
    with pytest.raises(RequestError, match="size"):
        SourceConfig(size=size)
