"""Clips whose light is not coded as sRGB's is, made here by BT.2100's formulas the other way."""

from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Colorspace

from threed.colour_transfer import BT2020, HLG, PQ, to_srgb
from threed.video_io import read_clip, write_mp4

WHITE_NITS = 203.0
SDR = 14
COLOURS = np.array(
    [
        (255, 255, 255),
        (0, 0, 0),
        (128, 128, 128),
        (24, 24, 24),
        (220, 30, 30),
        (20, 200, 40),
        (30, 60, 230),
        (200, 160, 120),
    ]
)
"""sRGB, as they shall be seen."""


def bt2020_light(srgb: np.ndarray) -> np.ndarray:
    """Linear light in BT.2020's primaries, white is one; by way of CIE XYZ."""
    value = srgb / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    from_709 = xyz_of([(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
    from_2020 = xyz_of([(0.708, 0.292), (0.170, 0.797), (0.131, 0.046)])
    return light @ np.linalg.solve(from_2020, from_709).T


def xyz_of(primaries: list[tuple[float, float]]) -> np.ndarray:
    """The matrix from light in given primaries, white D65, to XYZ."""
    columns = np.array([(x / y, 1, (1 - x - y) / y) for x, y in primaries]).T
    white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
    return columns * np.linalg.solve(columns, white)


def coded(light: np.ndarray, transfer: int) -> np.ndarray:
    """Signals in [0, 1] of light in BT.2020's primaries whose white is 203 nits."""
    if transfer == PQ:
        power = (light.clip(0) * WHITE_NITS / 10_000) ** (2610 / 16384)
        ratio = (3424 / 4096 + 32 * 2413 / 4096 * power) / (1 + 32 * 2392 / 4096 * power)
        return ratio ** (128 * 2523 / 4096)
    if transfer == HLG:
        seen = light.clip(0) * WHITE_NITS / 1000
        luminance = seen @ np.array([0.2627, 0.6780, 0.0593])
        scene = seen * np.where(luminance > 0, luminance, 1)[..., None] ** (1 / 1.2 - 1)
        a = 0.17883277
        b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
        dark = np.sqrt(3 * scene)
        return np.where(scene <= 1 / 12, dark, a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clip(0) ** (1 / 2.4) - 0.055)


def write_tagged(path: Path, signals: np.ndarray, transfer: int, codec: str) -> None:
    """A 10-bit clip, a colour a frame, with BT.2020's primaries and matrix, narrow range."""
    red, _, blue = signals.T
    luma = signals @ np.array([0.2627, 0.6780, 0.0593])
    planes = [
        64 + 876 * luma,
        512 + 896 * (blue - luma) / 1.8814,
        512 + 896 * (red - luma) / 1.4746,
    ]
    options = {"crf": "4", "x265-params": "log-level=none"} if codec == "libx265" else {"crf": "4"}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=12, options=options)
        stream.width, stream.height, stream.pix_fmt = 106, 62, "yuv420p10le"
        context = stream.codec_context
        context.colorspace, context.color_range = BT2020, 1
        context.color_primaries, context.color_trc = BT2020, transfer
        for values in np.stack(planes, axis=-1):
            frame = av.VideoFrame(106, 62, "yuv420p10le")
            for plane, value in zip(frame.planes, values, strict=True):
                plane.update(np.full(plane.buffer_size // 2, round(value), np.uint16).tobytes())
            frame.colorspace, frame.color_range = BT2020, 1
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


@pytest.mark.parametrize("codec", ["libx265", "libx264"])
@pytest.mark.parametrize("transfer", [HLG, PQ, SDR])
def test_known_colours_are_read_back_from_a_wide_gamut_clip(
    tmp_path: Path, transfer: int, codec: str
) -> None:
    path = tmp_path / "a.mov"
    write_tagged(path, coded(bt2020_light(COLOURS), transfer), transfer, codec)
    clip = read_clip(path)
    off = np.abs(clip.frames[..., :3].astype(int) - COLOURS[:, None, None])
    assert off.max() <= 3, off.max(axis=(1, 2))
    assert (clip.frames[..., 3] == 255).all()
    assert len(clip.notes) == 1 and "BT.2020" in clip.notes[0]


def test_reference_white_is_three_quarters_of_hlg_and_half_and_a_bit_of_pq() -> None:
    """As BT.2408 has it, table 1: 75 % and 58 % of the signal are 203 nits."""
    white = bt2020_light(COLOURS[:1])
    assert np.abs(coded(white, HLG) - 0.75).max() < 0.001
    assert np.abs(coded(white, PQ) - 0.58).max() < 0.002


@pytest.mark.parametrize("transfer", [HLG, PQ])
def test_what_is_brighter_than_white_is_white_and_greys_stay_grey(transfer: int) -> None:
    greys = np.linspace(0, 65535, 200).astype(np.uint16)[:, None, None].repeat(3, axis=-1)
    seen = to_srgb(greys, transfer, BT2020)[:, 0]
    assert (seen == seen[:, :1]).all() and (np.diff(seen[:, 0].astype(int)) >= 0).all()
    assert seen[0, 0] == 0 and (seen[-40:] == 255).all()


@pytest.mark.parametrize(("height", "matrix"), [(256, Colorspace.ITU601), (720, Colorspace.ITU709)])
def test_a_clip_that_names_no_matrix_has_its_sizes_usual_one(
    height: int, matrix: Colorspace, tmp_path: Path
) -> None:
    blocks = np.repeat(COLOURS.astype(np.uint8), height // 8, axis=0)
    picture = np.ascontiguousarray(np.broadcast_to(blocks[:, None], (height, 64, 3)))
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=12, options={"crf": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, height, "yuv444p"
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame = frame.reformat(format="yuv444p", dst_colorspace=matrix)
            frame.colorspace, frame.pts = 2, index
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    seen = read_clip(path).frames[0, :, 32, :3]
    middles = seen[len(seen) // 16 :: len(seen) // 8]
    assert np.abs(middles.astype(int) - COLOURS).max() <= 4


def test_ordinary_clips_have_no_note(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", np.full((3, 64, 64, 3), 90, np.uint8))
    assert read_clip(tmp_path / "a.mp4").notes == ()
