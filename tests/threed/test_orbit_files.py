"""An orbit.npz may come from anywhere: what no cameras can be is refused in a sentence."""

import re
from pathlib import Path

import numpy as np
import pytest
from torch.testing import assert_close

from tests.threed.test_run_folder import random_orbit
from threed.cameras import orbit_cameras
from threed.errors import RequestError
from threed.orbit_files import read_orbit, write_orbit

POSES = orbit_cameras(3, size=18).c2w.numpy().astype(np.float32)


def changed(folder: Path, **arrays: np.ndarray) -> Path:
    """Write an orbit.npz with some other arrays."""
    write_orbit(folder, random_orbit(size=18, num_frames=3))
    with np.load(folder / "orbit.npz") as written:
        np.savez(folder / "orbit.npz", **(dict(written) | arrays))
    return folder / "orbit.npz"


def with_value(value: float, *place: int) -> np.ndarray:
    poses = POSES.astype(np.float64)
    poses[place] = value
    return poses


@pytest.mark.parametrize(
    ("poses", "said"),
    [
        (POSES[:, :3, 3], "c2w has shape (3, 3); (3, 4, 4) is needed"),
        (POSES[:, :3], "c2w has shape (3, 3, 4); (3, 4, 4) is needed"),
        (POSES[:2], "c2w has shape (2, 4, 4); (3, 4, 4) is needed"),
        (np.float32(1), "c2w has shape (); (3, 4, 4) is needed"),
        (0 * POSES, "c2w of frame 1 is no camera to world motion"),
        (with_value(np.nan, 1, 0, 3), "c2w of frame 2 holds a value that is not finite"),
        (with_value(1e300, 1, 0, 3), "c2w of frame 2 holds a value that is not finite"),
        (1.1 * POSES, "c2w of frame 1 is no camera to world motion"),
        (with_value(0.5, 2, 3, 0), "c2w of frame 3 is no camera to world motion"),
        (POSES * np.float32([1, -1, 1, 1]), "c2w of frame 1 is no camera to world motion"),
    ],
    ids=[
        *("places", "rows", "few", "number", "zeros", "nan", "vast", "scaled", "perspective"),
        "mirrored",
    ],
)
def test_what_no_camera_can_be_is_refused_in_a_sentence(
    tmp_path: Path, poses: np.ndarray, said: str
) -> None:
    with pytest.raises(RequestError, match=re.escape(said)) as caught:
        read_orbit(changed(tmp_path, c2w=poses))
    assert "orbit.npz is not an orbit video" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(), (3, 1), (2,)])
def test_a_field_of_view_a_frame_is_needed(tmp_path: Path, shape: tuple[int, ...]) -> None:
    said = f"fov_y has shape {shape}; (3,) is needed"
    with pytest.raises(RequestError, match=re.escape(said)):
        read_orbit(changed(tmp_path, fov_y=np.full(shape, 0.7, np.float32)))


def test_poses_that_were_rounded_are_taken_as_they_are(tmp_path: Path) -> None:
    rounded = POSES.round(3)
    read = read_orbit(changed(tmp_path, c2w=rounded.astype(np.float64)))
    assert_close(read.cameras.c2w.numpy(), rounded, atol=0, rtol=0)
