from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from threed.errors import RequestError
from threed.video_io import MAX_FRAMES, clip_extent, read_clip, write_mp4


def numbered_frames(count: int, height: int = 64, width: int = 64) -> np.ndarray:
    """Frames whose even grey tells their number, with a coloured square in the corner."""
    frames = np.empty((count, height, width, 3), np.uint8)
    frames[:] = (40 + 3 * np.arange(count) % 200)[:, None, None, None]
    frames[:, :16, :16] = (200, 60, 30)
    return frames


def test_colours_survive_an_mp4(tmp_path: Path) -> None:
    """The matrix and range that are written are those that a player reads back."""
    frames = np.empty((6, 96, 96, 3), np.uint8)
    colours = [(255, 255, 255), (0, 0, 0), (220, 30, 30), (20, 200, 40), (30, 60, 230), (128,) * 3]
    frames[:] = np.array(colours)[:, None, None]
    write_mp4(tmp_path / "a.mp4", frames)
    read = read_clip(tmp_path / "a.mp4").frames
    assert np.abs(read[..., :3].astype(int) - np.array(colours)[:, None, None]).max() <= 4
    assert (read[..., 3] == 255).all()


@pytest.mark.parametrize(
    ("size", "written"), [((64, 64), (256, 256)), ((63, 85), (316, 426)), ((301, 400), (302, 400))]
)
def test_an_mp4_plays_everywhere(
    tmp_path: Path, size: tuple[int, int], written: tuple[int, int]
) -> None:
    """Even sides, 256 pixels or more, 4:2:0, and the index before the data."""
    write_mp4(tmp_path / "a.mp4", numbered_frames(5, *size))
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width) == written and stream.frames == 5
        assert stream.codec_context.name == "h264" and stream.codec_context.pix_fmt == "yuv420p"
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_the_centre_stays_the_centre_when_a_clip_is_enlarged(tmp_path: Path) -> None:
    frames = np.zeros((2, 61, 61, 3), np.uint8)
    frames[:, 20:41, 20:41] = 255
    write_mp4(tmp_path / "a.mp4", frames)
    read = read_clip(tmp_path / "a.mp4").frames[0]
    assert read[:, -8:, :3].max() == 0 and read[..., 3].min() == 255
    light = read[..., 0].astype(float)
    for axis in (0, 1):
        profile = light.sum(axis=axis)
        middle = (profile * (np.arange(len(profile)) + 0.5)).sum() / profile.sum()
        assert abs(middle - len(profile) / 2) < 0.1


def test_a_long_clip_is_sampled_evenly(tmp_path: Path) -> None:
    frames = np.empty((200, 64, 64, 3), np.uint8)
    frames[:] = np.arange(200)[:, None, None, None]
    write_mp4(tmp_path / "a.mp4", frames)
    clip = read_clip(tmp_path / "a.mp4")
    assert clip.num_source_frames == 200 and len(clip.frames) == MAX_FRAMES
    seen = clip.frames[:, 128, 128, 0].astype(int)
    expected = np.arange(MAX_FRAMES) * 200 // MAX_FRAMES
    assert np.abs(seen - expected).max() <= 3


def test_large_frames_are_reduced_as_they_are_read(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", numbered_frames(3, 480, 960))
    assert read_clip(tmp_path / "a.mp4", max_side=240).frames.shape == (3, 120, 240, 4)


def write_ball(path: Path, width: int, height: int, ratio: Fraction) -> None:
    """A white ball as a camera stores it whose pixels are `ratio` times as wide as high."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    inside = np.hypot((columns - width / 2) * float(ratio), rows - height / 2) < 0.4 * height
    picture = np.repeat(np.where(inside, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi"])
@pytest.mark.parametrize(
    ("stored", "ratio", "shown"),
    [
        ((360, 270), Fraction(4, 3), (480, 270)),
        ((360, 240), Fraction(8, 9), (320, 240)),
        ((352, 288), Fraction(1, 1), (352, 288)),
    ],
)
def test_a_ball_is_round_whatever_the_shape_of_the_stored_pixels(
    tmp_path: Path, suffix: str, stored: tuple[int, int], ratio: Fraction, shown: tuple[int, int]
) -> None:
    path = tmp_path / f"a.{suffix}"
    write_ball(path, *stored, ratio)
    frame = read_clip(path).frames[0, ..., 0]
    assert frame.shape == shown[::-1]
    across, down = (np.flatnonzero((frame > 127).any(axis=axis)) for axis in (0, 1))
    assert abs(np.ptp(across) - np.ptp(down)) <= 2


def test_pixels_that_no_camera_stores_are_taken_for_square(tmp_path: Path) -> None:
    write_ball(tmp_path / "a.mp4", 128, 96, Fraction(500, 1))
    assert read_clip(tmp_path / "a.mp4").frames.shape[1:3] == (96, 128)


def test_stretched_frames_are_no_larger_than_asked(tmp_path: Path) -> None:
    write_ball(tmp_path / "a.mp4", 360, 270, Fraction(4, 3))
    assert read_clip(tmp_path / "a.mp4", max_side=240).frames.shape[1:3] == (135, 240)


def test_what_an_edit_list_hides_is_no_part_of_a_clip(tmp_path: Path) -> None:
    """Its first ten frames are cut off without encoding anew, as phones and editors trim."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"bf": "0"})
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        pictures = [np.full((64, 64, 3), 8 * index, np.uint8) for index in range(30)]
        frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in pictures]
        packets = [packet for frame in [*frames, None] for packet in stream.encode(frame)]
        for index, packet in enumerate(packets):
            # What comes before time zero is stored and hidden.
            packet.pts = packet.dts = index - 10
            container.mux(packet)
    clip = read_clip(path)
    assert clip.num_source_frames == 20 and clip.indices == list(range(20))
    seen = clip.frames[:, 32, 32, 0].astype(int)
    assert np.abs(seen - 8 * np.arange(10, 30)).max() <= 3
    assert clip_extent(path)[2] == 20


def write_from(path: Path, first: int, count: int, rate: int = 12) -> None:
    """A clip of numbered frames whose timestamps begin at a second, as a cut-out part's may."""
    with av.open(str(path), "w") as container:
        codec = "libvpx" if path.suffix == ".webm" else "libx264"
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index, picture in enumerate(numbered_frames(count)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = first * rate + index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize("first", [0, 100, 400])
def test_a_clip_is_as_long_as_it_plays_whenever_it_begins(
    tmp_path: Path, suffix: str, first: int
) -> None:
    path = tmp_path / f"a.{suffix}"
    write_from(path, first, 24)
    clip = read_clip(path)
    assert clip.num_source_frames == 24
    assert clip_extent(path)[2:] == (24, pytest.approx(2.0, abs=0.15))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_what_begins_late_and_plays_too_long_is_refused(tmp_path: Path, suffix: str) -> None:
    write_from(tmp_path / f"a.{suffix}", 400, 310, rate=1)
    with pytest.raises(RequestError, match="5 minutes long"):
        read_clip(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize("suffix", ["gif", "webp", "webm", "mov"])
def test_alpha_is_kept_where_a_format_has_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip.{suffix}"
    frames = np.zeros((9, 64, 64, 4), np.uint8)
    for index in range(9):
        frames[index, 16:48, 4 * index : 4 * index + 20] = (210, 80, 40, 255)
    if suffix in ("gif", "webp"):
        images = [Image.fromarray(frame) for frame in frames]
        # Not lossless: libwebp then leaves the alpha flag of an animation unset.
        options = {"quality": 95} if suffix == "webp" else {"disposal": 2}
        images[0].save(path, save_all=True, append_images=images[1:], duration=80, **options)
    else:
        codec, pixels = ("libvpx-vp9", "yuva420p") if suffix == "webm" else ("qtrle", "argb")
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=12)
            stream.width = stream.height = 64
            stream.pix_fmt = pixels
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgba")))
            container.mux(stream.encode())
    clip = read_clip(path)
    assert clip.has_alpha and clip.frames.shape == frames.shape
    assert np.abs(clip.frames[..., 3].astype(int) - frames[..., 3]).mean() < 2
    inside = frames[..., 3] > 0
    assert np.abs(clip.frames[inside].astype(int) - frames[inside]).mean() < 8


def test_a_wrong_name_does_not_matter_but_wrong_contents_do(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", numbered_frames(4))
    (tmp_path / "a.mp4").rename(tmp_path / "a.gif")
    assert len(read_clip(tmp_path / "a.gif").frames) == 4


def bad_file(path: Path, kind: str) -> None:
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a video at all, whatever it is called")
    elif kind == "playlist":
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n")
    elif kind == "header":
        path.write_bytes(b"\x00\x00\x00\x18ftypmp42" + bytes(200))
    elif kind == "folder":
        path.mkdir()
    elif kind == "picture":
        Image.new("RGB", (32, 32)).save(path, format="PNG")
    elif kind == "cut":
        write_mp4(path, numbered_frames(30, 256, 256))
        path.write_bytes(path.read_bytes()[:900])
    elif kind == "gif cut":
        Image.new("RGB", (32, 32)).save(path, format="GIF")
        path.write_bytes(path.read_bytes()[:20])
    elif kind == "sound":
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.rate = 44100
            container.mux(stream.encode(frame))
            container.mux(stream.encode())


@pytest.mark.parametrize(
    "kind",
    [
        "missing",
        "empty",
        "text",
        "playlist",
        "header",
        "folder",
        "picture",
        "cut",
        "sound",
        "gif cut",
    ],
)
def test_what_is_no_clip_is_refused_in_a_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    bad_file(path, kind)
    with pytest.raises(RequestError, match="clip.mp4") as caught:
        read_clip(path)
    assert "\n" not in str(caught.value)


def test_an_hour_of_video_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options={"preset": "ultrafast"})
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")
        for second in range(0, 3600, 60):
            frame.pts = second
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(RequestError, match="minutes"):
        read_clip(path)


def test_a_frame_beyond_all_bounds_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "huge.gif"
    Image.new("L", (8, 8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:6] + (60000).to_bytes(2, "little") * 2 + data[10:])
    with pytest.raises(RequestError, match="60000"):
        read_clip(path)
