"""Alpha that rounds a clip's corners or pads its sides outlines no object."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch

from tests.threed.balls import turn
from threed.clip_alpha import is_matte, without_alpha
from threed.matte import matte
from threed.poses import PoseConfig
from threed.source import SourceConfig, read_source

CONFIG = SourceConfig(size=64, poses=PoseConfig(elevation_deg=15.0))
WALL = torch.tensor([0.75, 0.85, 0.95])
SHAPE = (16, 96, 96)


def opaque() -> np.ndarray:
    return np.full(SHAPE, 255, np.uint8)


def rounded() -> np.ndarray:
    """Corners cut by circles of a sixth of the side."""
    alpha, radius = opaque(), 16
    rows, columns = np.mgrid[:radius, :radius] + 0.5
    corner = np.where(np.hypot(rows - radius, columns - radius) < radius, 255, 0)
    alpha[:, :radius, :radius] = corner
    alpha[:, :radius, -radius:] = corner[:, ::-1]
    alpha[:, -radius:, :radius] = corner[::-1]
    alpha[:, -radius:, -radius:] = corner[::-1, ::-1]
    return alpha


def stray_hole() -> np.ndarray:
    alpha = opaque()
    alpha[3, 40:44, 50:53] = 0
    return alpha


def pillarbox() -> np.ndarray:
    alpha = opaque()
    alpha[..., :12] = alpha[..., -12:] = 0
    return alpha


def letterbox() -> np.ndarray:
    return pillarbox().transpose(0, 2, 1).copy()


NO_MATTES = {
    "opaque": opaque,
    "rounded": rounded,
    "stray hole": stray_hole,
    "pillarbox": pillarbox,
    "letterbox": letterbox,
}


@pytest.mark.parametrize("kind", NO_MATTES)
def test_what_leaves_the_picture_whole_is_no_matte(kind: str) -> None:
    assert not is_matte(NO_MATTES[kind]())


def test_an_object_s_outline_is_a_matte_however_it_fills_the_frame() -> None:
    """Balls; a can from slightly above that fills the height; a book that turns in it."""
    ball = (255 * turn(16)[..., 3]).round().byte().numpy()
    assert is_matte(ball)
    rows, columns = np.mgrid[:96, :96] + 0.5 - 48
    bulge = 0.09 * np.sqrt(np.maximum(30**2 - columns**2, 0))
    can = (np.abs(columns) < 30) & (np.abs(rows) < 48 - 2.7 + bulge)
    assert is_matte(255 * can.astype(np.uint8)[None].repeat(16, axis=0))
    widths = 6 + 30 * np.abs(np.cos(np.linspace(0, 2 * np.pi, 16, endpoint=False)))
    book = np.broadcast_to(np.abs(columns) < widths[:, None, None], SHAPE)
    assert is_matte(255 * book.astype(np.uint8))


def test_what_was_hidden_has_the_colour_that_is_nearest() -> None:
    clip = np.zeros((2, 40, 60, 4), np.uint8)
    clip[:, :, 10:30] = (200, 10, 10, 255)
    clip[:, :, 30:50] = (10, 10, 200, 255)
    shown = without_alpha(clip)
    assert (shown[:, :, :30] == (200, 10, 10)).all() and (shown[:, :, 30:] == (10, 10, 200)).all()


def before_wall() -> tuple[np.ndarray, np.ndarray]:
    """The balls before a light blue wall, and their alpha."""
    frames = torch.nn.functional.pad(turn(16), (0, 0, 16, 16, 16, 16))
    shown = frames[..., :3] + (1 - frames[..., 3:]) * WALL
    return (255 * shown).round().byte().numpy(), frames[..., 3].numpy()


@pytest.mark.parametrize("kind", ["rounded", "stray hole", "pillarbox", "letterbox"])
def test_the_object_stands_out_where_alpha_hid_what_is_around_it(kind: str) -> None:
    """What alpha hid was black; the mattes are those of the clip that nobody had cut."""
    shown, _ = before_wall()
    alpha = NO_MATTES[kind]()[..., None]
    cut = without_alpha(np.concatenate([shown * (alpha > 0), alpha], axis=-1))
    # The hole goes through the object, and takes the colour that is nearest.
    assert np.abs(matte(cut) - matte(shown))[..., 3].max() < 0.02


def test_a_clip_with_round_corners_is_read_as_one_without(tmp_path: Path) -> None:
    shown, true = before_wall()
    alpha = rounded()[..., None]
    frames = np.concatenate([shown * (alpha > 0), alpha], axis=-1)
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream("qtrle", rate=12)
        stream.height, stream.width, stream.pix_fmt = 96, 96, "argb"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgba")))
        container.mux(stream.encode())
    source = read_source(tmp_path / "a.mov", CONFIG)
    # The crop keeps the object's share of the frame's tangent plane.
    orbit = source.orbit
    zoom = np.tan(float(orbit.cameras.fov_y[0]) / 2) / np.tan((source.fov_y or 0) / 2)
    share = float(orbit.alpha.mean()) * zoom**2 * orbit.alpha.shape[2] / orbit.alpha.shape[1]
    assert np.isclose(share, true.mean(), rtol=0.05)
    assert any("alpha" in note for note in source.notes)
