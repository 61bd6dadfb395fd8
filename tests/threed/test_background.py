import subprocess
import sys
import time
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from huggingface_hub import constants
from PIL import Image

from tests.threed.balls import turn
from tests.threed.tiny_segmenter import write_tiny
from threed.background import PictureCutter, cut_out_clip
from threed.errors import InstallationError, NoPlainBackgroundError, RequestError
from threed.matte import matte
from threed.patience import patiently
from threed.picture import cut_out
from threed.picture_check import inspect_picture
from threed.progress import finish
from threed.segmenter_weights import HOW_TO_INSTALL, REPOSITORY, VARIABLE, find_weights
from threed.source import SourceConfig, read_source
from threed.video_io import write_mp4


def balls_before(background: np.ndarray, num_frames: int = 8) -> np.ndarray:
    frames = turn(num_frames).numpy()
    return np.rint(255 * (frames[..., :3] + (1 - frames[..., 3:]) * background)).astype(np.uint8)


def busy() -> np.ndarray:
    return np.kron(np.random.default_rng(0).uniform(size=(8, 8, 3)), np.ones((8, 8, 1)))


def test_a_plain_background_never_asks_for_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that would be refused if it were looked at is not looked at."""
    monkeypatch.setenv(VARIABLE, "/nowhere")
    plain = balls_before(np.array([0.75, 0.85, 0.95]))
    cut = finish(cut_out_clip(plain))
    assert np.array_equal(cut.pictures, matte(plain))
    assert cut.notes == ()
    cutter = PictureCutter()
    assert np.array_equal(cutter.cut(plain[0]), matte(plain[:1])[0])
    assert cutter.num_by_model == 0
    for call in (lambda: finish(cut_out_clip(balls_before(busy()))), find_weights):
        with pytest.raises(InstallationError, match="LATHE_MATTING is '/nowhere', .* no folder"):
            call()


def test_without_a_model_the_refusal_stays_and_says_what_to_install() -> None:
    clip = balls_before(busy())
    with pytest.raises(NoPlainBackgroundError) as plain:
        matte(clip)
    words = f"{plain.value}, {HOW_TO_INSTALL}"
    for call in (
        lambda: finish(cut_out_clip(clip)),
        lambda: PictureCutter().cut(clip[0]),
        lambda: cut_out(np.dstack([clip[0], np.full((64, 64), 255, np.uint8)])),
    ):
        with pytest.raises(NoPlainBackgroundError) as caught:
            call()
        assert str(caught.value) == words
    with pytest.raises(NoPlainBackgroundError) as caught:
        finish(cut_out_clip(clip, by_model=False))
    assert str(caught.value) == str(plain.value)


def test_what_was_downloaded_is_found_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delenv(VARIABLE)
    assert find_weights() is None
    repository = tmp_path / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("c" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("c" * 40)
    (snapshot / "model.safetensors").write_bytes(b"")
    # A download's last file is the configuration.
    assert find_weights() is None
    (snapshot / "config.json").write_text("{}")
    assert find_weights() == snapshot
    monkeypatch.setenv(VARIABLE, "off")
    assert find_weights() is None


def test_every_way_in_asks_the_model_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are chance, so it finds nothing: that it was asked is what it says."""
    monkeypatch.setenv(VARIABLE, str(write_tiny(tmp_path / "weights")))
    clip = balls_before(busy())
    write_mp4(tmp_path / "clip.mp4", clip)
    (tmp_path / "views").mkdir()
    for index, frame in enumerate(clip):
        Image.fromarray(frame).save(tmp_path / "views" / f"{index}.png")
    picture = tmp_path / "views" / "0.png"
    for call in (
        lambda: read_source(tmp_path / "clip.mp4", SourceConfig(size=64)),
        lambda: read_source(tmp_path / "views", SourceConfig(size=64)),
        lambda: PictureCutter().cut(clip[0]),
    ):
        with pytest.raises(RequestError, match="the segmentation model finds no single object"):
            call()
    # Where a stranger's file is looked at first there is no room for a network.
    assert inspect_picture(picture).width == 64
    monkeypatch.setenv(VARIABLE, "off")
    with pytest.raises(RequestError, match="models download"):
        inspect_picture(picture)


def test_a_long_step_is_waited_for_in_short_ones_and_left_at_once() -> None:
    go = Event()

    def slow():
        yield "first"
        go.wait(60)
        yield "second"
        raise RequestError("third")

    items = patiently(slow())
    assert next(items) == "first"
    start = time.monotonic()
    assert next(items) is None
    items.close()
    assert time.monotonic() - start < 2
    go.set()
    items = patiently(slow())
    assert [next(items), next(items)] == ["first", "second"]
    with pytest.raises(RequestError, match="third"):
        next(items)


def test_a_program_ends_after_the_step_that_nobody_wanted_any_more() -> None:
    """Else a network that computes in the thread would bring the interpreter down as it ends."""
    program = """
import time
from threed.patience import patiently
def slow():
    time.sleep(2.5)
    print("whole")
    yield 1
items = patiently(slow())
next(items)
items.close()
print("left")
"""
    command = [sys.executable, "-c", program]
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.split()) == (0, ["left", "whole"])
