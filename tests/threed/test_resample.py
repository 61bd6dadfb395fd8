import math

import numpy as np
import pytest

from threed.resample import Lens, resample

RADIUS, ASIDE, DOWN = 0.3, 0.013, 0.007


def disc(width: int, height: int, focal: float, samples: int = 8) -> np.ndarray:
    """Return the coverage of a disc's pixels, as a camera of this focal length sees it."""
    x = (np.arange(width * samples) + 0.5) / samples - width / 2 - ASIDE * focal
    y = (np.arange(height * samples) + 0.5) / samples - height / 2 - DOWN * focal
    inside = x**2 + y[:, None] ** 2 < (RADIUS * focal) ** 2
    return inside.reshape(height, samples, width, samples).mean(axis=(1, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(320, 256), (641, 480), (1280, 720)])
def test_a_shrunk_edge_is_as_sharp_wherever_between_the_sources_pixels_it_falls(
    size: tuple[int, int],
) -> None:
    width, height = size
    focal = 0.5 * height / math.tan(math.radians(20))
    lens = Lens(fl_x=focal, fl_y=focal, cx=width / 2, cy=height / 2)
    picture = np.repeat(disc(width, height, focal, samples=4)[..., None], 4, axis=-1)
    for fov in np.linspace(0.6, 0.69, 10):
        shrunk = resample(picture, lens, 106, 128, fov)[..., 3]
        truth = disc(106, 128, 64 / math.tan(0.5 * fov))
        edge = (truth > 0.02) & (truth < 0.98)
        assert np.abs(shrunk - truth).sum() < 0.1 * edge.sum()
