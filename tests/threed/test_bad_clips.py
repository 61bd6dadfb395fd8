"""What strangers hand in that is no turn of one object: a sentence each, at once."""

import json
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.threed.balls import BALLS, balls, turn
from threed.cameras import orbit_cameras
from threed.errors import RequestError
from threed.orbit import OrbitVideo
from threed.orbit_files import write_orbit
from threed.source import SourceConfig, read_source
from threed.video_io import read_clip, write_mp4

CONFIG = SourceConfig(size=64)
WALL = torch.tensor([0.75, 0.85, 0.95])


def filmed(frames: torch.Tensor) -> np.ndarray:
    """Bytes of premultiplied frames before a light blue wall."""
    shown = frames[..., :3] + (1 - frames[..., 3:]) * WALL
    return (255 * shown).round().byte().numpy()


def two_objects() -> np.ndarray:
    """A large and a smaller ball, far apart, on one turntable: apart in most of the frames."""
    left, right = BALLS[:1].clone(), BALLS[1:2].clone()
    left[0, :4] = torch.tensor([-0.65, 0.0, 0.0, 0.3])
    right[0, :4] = torch.tensor([0.65, 0.1, 0.0, 0.25])
    return filmed(balls(orbit_cameras(16, size=64), torch.cat([left, right])))


def changing_object() -> np.ndarray:
    """Half a turn of one thing, then half of another."""
    other = BALLS.clone()
    other[:, :3] = BALLS[:, [1, 2, 0]] * torch.tensor([1.6, -0.6, 0.3])
    other[:, 3] *= 0.6
    foreign = balls(orbit_cameras(16, size=64, elevation=0.6), other)
    return np.concatenate([filmed(turn())[:8], filmed(foreign)[8:]])


def write_sound(path: Path) -> None:
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write_bad(path: Path, kind: str) -> None:
    if kind == "no frames":
        write_sound(path)
    elif kind == "one frame":
        write_mp4(path, filmed(turn(8))[:1])
    elif kind == "still":
        write_mp4(path, np.repeat(filmed(turn(8))[:1], 12, axis=0))
    elif kind == "two objects":
        write_mp4(path, two_objects())
    elif kind == "background":
        write_mp4(path, filmed(torch.zeros(12, 64, 64, 4)))
    elif kind == "clutter":
        noise = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 3), dtype=np.uint8)
        write_mp4(path, noise.repeat(8, axis=1).repeat(8, axis=2))
    elif kind == "broken":
        write_mp4(path, filmed(turn(16)))
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 3])
    elif kind == "lie":
        path.write_text("I am no video")
    elif kind == "no turn":
        write_mp4(path, changing_object())
    elif kind == "half a turn":
        write_mp4(path, filmed(turn(30)[:14]))


REFUSED = {
    "no frames": "holds no video frames",
    "one frame": "has 1 different frames; at least 8",
    "still": "nothing turns",
    "two objects": "more than one object",
    "background": "nothing stands out",
    "clutter": "no plain background",
    "broken": "damaged or cut short",
    "lie": "not a clip of a known kind",
    "no turn": "agree with a turn|jumps|does not end",
    "half a turn": "does not end where it began",
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_turn_of_one_object_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    write_bad(path, kind)
    with pytest.raises(RequestError, match=REFUSED[kind]) as caught:
        read_source(path, CONFIG)
    assert "\n" not in str(caught.value) and str(caught.value).count("clip.mp4") == 1


def test_8k_frames_are_reduced_within_bounds(tmp_path: Path) -> None:
    """Eight frames of 7680 x 4320 decode in a process of limited memory to small ones."""
    path = tmp_path / "8k.mp4"
    frame = av.VideoFrame.from_ndarray(np.full((4320, 7680, 3), 90, np.uint8), format="rgb24")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=15, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        for _ in range(8):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    code = (
        "import sys; from threed.video_io import read_clip\n"
        "print(read_clip(sys.argv[1]).frames.shape)\n"
        # Not getrusage, whose peak is that of the process which started this one, where larger.
        "(peak,) = [r for r in open('/proc/self/status') if r.startswith('VmHWM')]\n"
        "print(peak.split()[1])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )
    shape, peak_kib = finished.stdout.strip().splitlines()
    assert shape == "(8, 576, 1024, 4)"
    # The codec holds a few of 50 MB; what is taken in as it comes does not add to them.
    assert int(peak_kib) < 1_000_000


def test_more_pixels_than_a_day_decodes_are_refused_at_once(tmp_path: Path) -> None:
    """A GIF that says 8,000 x 8,000 in its header, with 400 empty frames."""
    path = tmp_path / "vast.gif"
    images = [Image.new("L", (8, 8), index % 255) for index in range(400)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=20)
    data = path.read_bytes()
    path.write_bytes(data[:6] + (8000).to_bytes(2, "little") * 2 + data[10:])
    begin, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RequestError, match="billion pixels"):
        read_clip(path)
    assert time.monotonic() - begin < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000


def dataset(folder: Path) -> dict:
    """Write a good dataset and return its transforms.json."""
    frames = turn(8)
    orbit = OrbitVideo(
        albedo=frames[..., :3],
        alpha=frames[..., 3],
        normals=None,
        cameras=orbit_cameras(8, size=64),
    )
    write_orbit(folder, orbit)
    (folder / "orbit.npz").unlink()
    return json.loads((folder / "transforms.json").read_text())


def look_away(meta: dict) -> None:
    """Turn every camera half round its own upright axis, as axes of another convention do."""
    for frame in meta["frames"]:
        pose = np.array(frame["transform_matrix"])
        pose[:3, [0, 2]] *= -1
        frame["transform_matrix"] = pose.tolist()


def test_bad_datasets_are_refused_in_a_sentence(tmp_path: Path) -> None:
    meta = dataset(tmp_path)
    assert read_source(tmp_path, CONFIG).orbit.num_frames == 8
    good, listing = json.dumps(meta), tmp_path / "transforms.json"
    look_away(meta)
    nan = re.sub(r'("transform_matrix": \[\[)[^,]*', r"\1NaN", good, count=1)
    for text, said in (
        (json.dumps(meta), "8 of 8 cameras look away"),
        (nan, "not finite"),
        (good.replace('"fl_x": ', '"fl_x": NaN, "was": ', 1), "fl_x, not a number"),
        (good.replace("images/000", "images/999"), "not there"),
    ):
        listing.write_text(text)
        with pytest.raises(RequestError, match=said) as caught:
            read_source(tmp_path, CONFIG)
        assert "\n" not in str(caught.value)
    listing.write_text(good)
    first = next((tmp_path / "images").iterdir())
    Image.new("RGBA", (64, 32), (9, 9, 9, 99)).save(first)
    with pytest.raises(RequestError, match="64 x 32 pixels, but"):
        read_source(tmp_path, CONFIG)


def test_a_folder_of_pictures_is_a_clip_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    frames = filmed(turn(12))
    write_mp4(tmp_path / "clip.mp4", frames)
    (tmp_path / "album").mkdir()
    for index, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / "album" / f"IMG_{index + 5}.png")
    source = read_source(tmp_path / "album", CONFIG)
    assert source.frames == tuple(range(12)) and "one turn" in source.notes[0]
    cameras = read_source(tmp_path / "clip.mp4", CONFIG).orbit.cameras
    # The clip's pixels are not quite the album's, and distance trades with focal length.
    turned = source.orbit.cameras.c2w[:, :3, :3]
    torch.testing.assert_close(turned, cameras.c2w[:, :3, :3], atol=0.05, rtol=0)
    Image.fromarray(frames[0][:40]).save(tmp_path / "album" / "IMG_9.png")
    with pytest.raises(RequestError, match="IMG_9.png is 64 x 40 pixels, but IMG_5.png is 64 x 64"):
        read_source(tmp_path / "album", CONFIG)
    (tmp_path / "album" / "IMG_9.png").write_bytes(b"no picture")
    with pytest.raises(RequestError, match="IMG_9.png is no picture"):
        read_source(tmp_path / "album", CONFIG)


def test_a_blurred_frame_gives_way_to_a_sharp_neighbour(tmp_path: Path) -> None:
    """Of 96 frames every second one is blurred; nearly all that are used are sharp and even."""
    random = np.random.default_rng(0).integers(0, 255, (80, 80, 3), dtype=np.uint8)
    picture = Image.fromarray(random).resize((320, 320), Image.Resampling.BICUBIC)
    soft = picture.resize((40, 40)).resize((320, 320), Image.Resampling.BICUBIC)
    frames = [np.asarray(soft if index % 2 == 0 else picture) for index in range(240)]
    write_mp4(tmp_path / "a.mp4", np.stack(frames))
    clip = read_clip(tmp_path / "a.mp4")
    assert all(index % 2 == 1 for index in clip.indices)
    even = np.arange(48) * 5
    assert np.abs(np.array(clip.indices) - even).max() <= 1
