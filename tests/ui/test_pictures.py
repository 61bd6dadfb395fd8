"""Small pictures: what a visitor sees of a run is its video as it was filmed."""

import base64
import io
import re
from pathlib import Path

import numpy as np
from PIL import Image

from threed.video_io import write_mp4
from ui.pictures import film_frames, film_start


def shown(element: str) -> Image.Image:
    found = re.search(r"base64,([^\"]+)", element)
    assert found is not None
    return Image.open(io.BytesIO(base64.b64decode(found[1])))


def test_a_video_is_shown_frame_by_frame_and_what_has_gone_is_nothing(tmp_path: Path) -> None:
    levels = (40, 120, 200)
    frames = np.stack([np.full((64, 64, 3), level, np.uint8) for level in levels])
    path = tmp_path / "orbit.mp4"
    write_mp4(path, frames, fps=12)
    pictures = [shown(element) for element in film_frames(path, 32)]
    assert [max(picture.size) for picture in pictures] == [32] * 3
    for picture, level in zip([shown(film_start(path, 32)), *pictures], (40, *levels), strict=True):
        assert abs(float(np.asarray(picture.convert("L")).mean()) - level) < 4
    # Made anew it is another one.
    write_mp4(path, frames[::-1].copy(), fps=12)
    assert abs(float(np.asarray(shown(film_start(path, 32)).convert("L")).mean()) - 200) < 4
    path.write_bytes(b"no video")
    assert film_start(path, 32) == ""
    path.unlink()
    assert film_start(path, 32) == ""
    assert film_frames(path, 32) == ()
