"""A picture's object is found and cut out, and what shows no single whole object is refused."""

import struct
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image

from threed.errors import RequestError
from threed.picture import cut_out, read_picture

BOX = (slice(30, 80), slice(40, 110))
ORANGE = (220, 120, 40)
NOISE = np.random.default_rng(0).integers(0, 255, (96, 96, 4), np.uint8)
NOISE[..., 3] = 255


def drawn(background: tuple[int, ...], *boxes: tuple[slice, slice], side: int = 160) -> np.ndarray:
    """Return a square RGBA picture of orange boxes."""
    picture = np.zeros((side, side, 4), dtype=np.uint8)
    picture[...] = background
    for box in boxes:
        picture[box] = (*ORANGE, 255)
    return picture


def save(path: Path, picture: np.ndarray, **how: object) -> Path:
    """Save a picture; a JPEG and whatever has no alpha without it."""
    opaque = path.suffix == ".jpg" or picture[..., 3].min() == 255
    Image.fromarray(picture).convert("RGB" if opaque else "RGBA").save(path, **how)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.webp", "a.jpg", "plain.png"])
def test_the_object_is_cut_to_its_outline_whatever_the_format(tmp_path: Path, name: str) -> None:
    background = (90, 140, 200, 255) if name in ("a.jpg", "plain.png") else (9, 9, 9, 0)
    cut = read_picture(save(tmp_path / name, drawn(background, BOX), quality=95))
    assert abs(cut.shape[0] - 50) <= 1
    assert abs(cut.shape[1] - 70) <= 1
    middle = cut[5:-5, 5:-5]
    assert np.abs(middle - np.array([*ORANGE, 255]) / 255).max() < 0.04
    assert (cut[..., :3] <= cut[..., 3:] + 1e-6).all()


def test_a_phones_picture_stands_as_it_was_held(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = drawn((9, 9, 9, 0), BOX)
    cut = read_picture(save(tmp_path / "a.png", picture, exif=exif.tobytes()))
    assert cut.shape[:2] == (70, 50)


def test_specks_do_not_widen_the_outline() -> None:
    picture = drawn((9, 9, 9, 0), BOX)
    picture[3:5, 3:5] = 255
    assert cut_out(picture).shape[:2] == (50, 70)


@pytest.mark.parametrize(
    ("picture", "words"),
    [
        (drawn((9, 9, 9, 0)), "transparent everywhere"),
        (drawn((90, 90, 90, 255)), "nothing stands out from the background"),
        (NOISE, "no plain background"),
        (drawn((90, 140, 200, 255), (slice(30, 160), slice(40, 110))), "over the picture's edge"),
        (drawn((9, 9, 9, 0), (slice(0, 158), slice(0, 160))), "the object fills the picture"),
        (drawn((9, 9, 9, 0), BOX, (slice(100, 150), slice(40, 110))), "more than one object"),
        (drawn((9, 9, 9, 0), (slice(30, 40), slice(40, 50))), "10 x 10 pixels small"),
        (drawn((9, 9, 9, 0), (slice(9, 20), slice(9, 20)), side=31), "31 x 31 pixels; at least 32"),
    ],
)
def test_what_shows_no_single_whole_object_is_refused_without_saying_where_it_lies(
    tmp_path: Path, picture: np.ndarray, words: str
) -> None:
    with pytest.raises(RequestError, match=words) as refused:
        read_picture(save(tmp_path / "a.png", picture.astype(np.uint8)))
    assert str(tmp_path) not in str(refused.value)


def test_other_files_and_too_many_pixels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"<svg/>")
    with pytest.raises(RequestError, match="the file is no picture"):
        read_picture(tmp_path / "a.png")
    Image.new("P", (40, 40)).save(tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "b.png")
    with pytest.raises(RequestError, match=r"PNG, JPEG, WEBP"):
        read_picture(tmp_path / "b.png")
    Image.new("1", (8000, 7000)).save(tmp_path / "big.png")
    with pytest.raises(RequestError, match="56 million; at most 50 million"):
        read_picture(tmp_path / "big.png")
    whole = save(tmp_path / "c.png", drawn((9, 9, 9, 0), BOX)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(RequestError, match="cut short") as refused:
        read_picture(tmp_path / "cut.png")
    assert "/" not in str(refused.value)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 6, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    command = [sys.executable, "-m", "threed.picture_check", str(tmp_path / "bomb.png")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "exceeds limit" in done.stdout
    assert "/" not in done.stdout


def test_the_check_answers_in_facts_or_in_one_line_with_status_2(tmp_path: Path) -> None:
    def check(path: Path) -> tuple[int, str]:
        command = [sys.executable, "-m", "threed.picture_check", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode, done.stdout.strip()

    good = save(tmp_path / "a.png", drawn((9, 9, 9, 0), BOX))
    assert check(good) == (0, '{"width": 70, "height": 50}')
    status, words = check(save(tmp_path / "b.png", drawn((9, 9, 9, 0))))
    assert (status, words.count("\n")) == (2, 0)
    assert "transparent everywhere" in words
