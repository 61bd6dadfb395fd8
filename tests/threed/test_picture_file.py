"""A picture's colours, depth and way up are what its file says, whichever reader takes it."""

import struct
import time
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from tests.threed.profiles import P3, SRGB, grey_profile, ink_profile, rgb_profile, srgb_of_p3
from threed.errors import RequestError
from threed.picture import read_picture
from threed.picture_folder import read_pictures, read_upright, upright_size
from threed.video_io import read_clip

GREEN = (80, 158, 74)
NOISE = np.random.default_rng(0).integers(0, 256, (24, 36, 4), np.uint8)
DAMAGED = (b"no profile at all", rgb_profile(P3)[:200], rgb_profile(P3)[:128] + bytes(500))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))


def png_with(path: Path, image: Image.Image, *chunks: bytes, behind: bool = False) -> Path:
    """Save a PNG with more chunks before its pixels, or behind them."""
    image.save(path)
    data = path.read_bytes()
    at = data.index(b"IEND" if behind else b"IDAT") - 4
    path.write_bytes(data[:at] + b"".join(chunks) + data[at:])
    return path


def sideways() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_a_wide_gamut_colour_becomes_the_same_colour_in_srgb(tmp_path: Path, kind: str) -> None:
    """The closed form: Display P3's (80, 158, 74) is sRGB's (40, 160, 60), but for rounding."""
    assert np.abs(srgb_of_p3(GREEN) - (40, 160, 60)).max() < 1.5
    path = tmp_path / f"a.{kind}"
    picture = Image.new("RGB", (48, 40), GREEN)
    picture.save(path, quality=100, lossless=True, icc_profile=rgb_profile(P3))
    read = read_upright(path, 1024)
    assert np.abs(read[..., :3] - srgb_of_p3(GREEN)).max() < (3 if kind == "jpg" else 1.5)
    assert (read[..., 3] == 255).all()


def test_a_profile_changes_colours_and_no_alpha(tmp_path: Path) -> None:
    """A thousand colours, each with an alpha of its own, against the closed form."""
    opaque = NOISE.copy()
    opaque[..., 3] = 255
    told = {"icc_profile": rgb_profile(P3)}
    Image.fromarray(opaque).save(tmp_path / "a.png", **told)
    Image.fromarray(NOISE).save(tmp_path / "b.png", **told)
    first, second = (read_upright(tmp_path / name, 64) for name in ("a.png", "b.png"))
    expected = np.apply_along_axis(srgb_of_p3, -1, NOISE[..., :3])
    assert np.abs(first[..., :3] - expected).max() < 2
    assert (second[..., 3] == NOISE[..., 3]).all()
    solid = NOISE[..., 3] > 200
    assert np.abs(second[..., :3] - expected)[solid].max() < 3


@pytest.mark.parametrize(
    "profile",
    [rgb_profile(SRGB), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()]
    + [*DAMAGED, grey_profile(1.0)],
    ids=["sampled", "parametric", "text", "cut", "empty", "grey"],
)
@pytest.mark.parametrize("mode", ["RGBA", "RGB", "P"])
def test_what_says_srgb_or_nothing_sound_is_left_bit_for_bit(
    tmp_path: Path, mode: str, profile: bytes
) -> None:
    image = Image.fromarray(NOISE).convert(mode)
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "told.png", icc_profile=profile)
    plain, told = (read_upright(tmp_path / f"{name}.png", 20) for name in ("plain", "told"))
    np.testing.assert_array_equal(told, plain)


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_a_grey_profiles_curve_is_followed(tmp_path: Path, mode: str) -> None:
    """Half the light is written 128 where greys are linear, and 188 in sRGB."""
    image = Image.new(mode, (8, 8), 128 if mode == "L" else (128, 77))
    image.save(tmp_path / "a.png", icc_profile=grey_profile(1.0))
    read = read_upright(tmp_path / "a.png", 64)
    assert np.abs(read[..., :3].astype(int) - 188).max() <= 2
    assert (read[..., 3] == (255 if mode == "L" else 77)).all()


def test_an_ink_has_the_colour_that_its_press_gives_it(tmp_path: Path) -> None:
    """A press that prints sRGB's red, Lab (54.29, 80.81, 69.89) under D50, for cyan."""
    image = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    image.paste((0, 0, 0, 0), (8, 0, 16, 16))
    image.save(tmp_path / "a.jpg", quality=100, icc_profile=ink_profile((54.29, 80.81, 69.89)))
    read = read_upright(tmp_path / "a.jpg", 64).astype(int)
    assert np.abs(read[4, 3] - (255, 0, 0, 255)).max() <= 8
    assert np.abs(read[4, 12] - 255).max() <= 2
    # Of another kind of pixels a profile says nothing.
    image.save(tmp_path / "b.jpg", quality=100, icc_profile=rgb_profile(P3))
    assert np.abs(read_upright(tmp_path / "b.jpg", 64)[4, 3] - (0, 255, 255, 255.0)).max() <= 3


def test_every_reader_follows_a_profile(tmp_path: Path) -> None:
    """A visitor's picture, a folder of pictures and an animation."""
    frame = np.zeros((64, 64, 4), np.uint8)
    frame[12:52, 12:52] = (*GREEN, 255)
    image, told = Image.fromarray(frame), {"icc_profile": rgb_profile(P3)}
    (tmp_path / "folder").mkdir()
    image.save(tmp_path / "folder" / "1.png", **told)
    image.save(
        tmp_path / "a.webp", save_all=True, append_images=[image.rotate(90)], quality=100, **told
    )
    cut = read_picture(tmp_path / "folder" / "1.png")
    assert np.abs(255 * cut[5:-5, 5:-5, :3] - srgb_of_p3(GREEN)).max() < 1.5
    frames = read_pictures(tmp_path / "folder").frames
    assert np.abs(frames[0, 32, 32, :3] - srgb_of_p3(GREEN)).max() < 1.5
    frames = read_clip(tmp_path / "a.webp").frames
    assert np.abs(frames[:, 32, 32, :3] - srgb_of_p3(GREEN)).max() < 4


def test_sixteen_bits_of_grey_become_eight(tmp_path: Path) -> None:
    """65535 is white and 0 black, and each step of eight bits is 257 of sixteen."""
    values = (257 * np.arange(256).reshape(16, 16)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    read = read_upright(tmp_path / "deep.png", 64)
    grey = np.arange(256).reshape(16, 16, 1)
    assert (read[..., :3] == grey).all() and (read[..., 3] == 255).all()
    # One grey may stand for what is not there.
    hidden = chunk(b"tRNS", struct.pack(">H", 257 * 9))
    read = read_upright(png_with(tmp_path / "b.png", Image.fromarray(values), hidden), 64)
    assert ((read[..., 3] == 0) == (grey[..., 0] == 9)).all()


def test_a_pngs_size_is_in_its_header(tmp_path: Path) -> None:
    """The pixels are not even there."""
    image = Image.fromarray(NOISE)
    for name, exif, size in (("a.png", None, (36, 24)), ("b.png", sideways(), (24, 36))):
        image.save(tmp_path / name, exif=exif)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: data.index(b"IDAT") + 30])
        assert upright_size(tmp_path / name) == size


def test_a_vast_png_is_refused_by_its_header(tmp_path: Path) -> None:
    Image.new("1", (8200, 8200)).save(tmp_path / "a.png")
    begin = time.process_time()
    with pytest.raises(RequestError, match="8200 x 8200 pixels; at most 8192"):
        upright_size(tmp_path / "a.png")
    assert time.process_time() - begin < 0.05


@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_read_as_it_was_held(tmp_path: Path, kind: str, orientation: int) -> None:
    image = Image.fromarray(NOISE).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{kind}"
    image.save(path, exif=exif, quality=100, lossless=True)
    read = read_upright(path, 64)
    with Image.open(path) as stored:
        expected = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    np.testing.assert_array_equal(read[..., :3], expected)
    assert upright_size(path) == read.shape[1::-1]


def exif_of(kind: int, value: bytes, count: int = 1) -> bytes:
    """An EXIF block with nothing but an orientation, of any type."""
    entry = struct.pack("<HHI4s", 0x0112, kind, count, value)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


@pytest.mark.parametrize(
    "exif",
    [
        exif_of(2, b"6\0", 2),
        exif_of(3, struct.pack("<H", 9)),
        exif_of(3, struct.pack("<H", 0)),
        b"Exif\0\0II*\0",
        b"Exif\0\0no block",
        b"Exif\0\0",
    ],
    ids=["ascii", "nine", "zero", "short", "text", "none"],
)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp"])
def test_an_orientation_that_is_none_turns_nothing(tmp_path: Path, kind: str, exif: bytes) -> None:
    Image.fromarray(NOISE).convert("RGB").save(tmp_path / f"a.{kind}", exif=exif)
    assert upright_size(tmp_path / f"a.{kind}") == (36, 24)
    assert read_upright(tmp_path / f"a.{kind}", 64).shape == (24, 36, 4)


def test_size_and_picture_agree_where_exif_stands_behind_the_pixels(tmp_path: Path) -> None:
    block = chunk(b"eXIf", sideways().tobytes().removeprefix(b"Exif\0\0"))
    for behind in (False, True):
        path = png_with(tmp_path / "a.png", Image.fromarray(NOISE), block, behind=behind)
        assert read_upright(path, 64).shape[1::-1] == upright_size(path)


@pytest.mark.parametrize("behind", [False, True])
def test_a_damaged_chunk_is_a_sentence(tmp_path: Path, behind: bool) -> None:
    """Pillow raises as it likes: here for too much text, too short a palette, a lone byte."""
    text = chunk(b"iTXt", b"more\0\1\0\0\0" + compress(bytes(2 << 20)))
    path = tmp_path / "a.png"
    for bad in (text, chunk(b"cHRM", b"12345"), chunk(b"iCCP", b""), chunk(b"gAMA", b"1")):
        png_with(path, Image.fromarray(NOISE), bad, behind=behind)
        with pytest.raises(RequestError, match="a.png"):
            read_upright(path, 64)
