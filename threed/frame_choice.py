"""Which frames of a long clip are used: evenly over the turn, the sharpest of some neighbours.

A hand that shakes and a lens that hunts blur some frames and not the next. A frame beside the
even place is taken only where it is clearly sharper, and none far from that place.
"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

CANDIDATES = 5
"""Frames that are compared for a place."""
REACH = 0.3
"""How far from its place a frame may stand, in steps between places."""
CLEARLY_SHARPER = 1.25
JUDGED_SIDE = 512


class FrameChoice:
    """Takes frames in the clip's order and keeps one a place; memory is that of the places.

    Args:
        count: Frames in the clip.
        max_frames: Places, evenly spaced on the circle that a turn is.
    """

    def __init__(self, count: int, max_frames: int) -> None:
        self._places: dict[int, tuple[int, bool]] = {}
        places = min(count, max_frames)
        for place in range(places):
            middle = place * count // places
            reach = int(REACH * count / places)
            for index in np.linspace(-reach, reach, min(CANDIDATES, 2 * reach + 1)).round():
                candidate = middle + int(index)
                if 0 <= candidate < count:
                    self._places[candidate] = place, candidate == middle
        self._kept: dict[int, tuple[float, int, np.ndarray]] = {}

    def wants(self, index: int) -> bool:
        """Return whether a frame is worth unpacking."""
        return index in self._places

    def offer(self, index: int, picture: UInt8[np.ndarray, "height width 4"]) -> None:
        """Keep a frame if it is the best of its place so far."""
        place, is_middle = self._places[index]
        worth = sharpness(picture) * (CLEARLY_SHARPER if is_middle else 1.0)
        if place not in self._kept or worth > self._kept[place][0]:
            self._kept[place] = worth, index, picture

    @property
    def indices(self) -> list[int]:
        """The kept frames' numbers in the clip, in order."""
        return [self._kept[place][1] for place in sorted(self._kept)]

    @property
    def frames(self) -> list[np.ndarray]:
        """The kept frames, in order."""
        return [self._kept[place][2] for place in sorted(self._kept)]


def sharpness(picture: UInt8[np.ndarray, "height width 4"]) -> float:
    """Return the mean square of a picture's Laplacian, which blur brings down."""
    step = max(1, max(picture.shape[:2]) // JUDGED_SIDE)
    grey = np.asarray(Image.fromarray(picture[..., :3]).convert("L"))[::step, ::step]
    grey = grey.astype(np.float32)
    middle = 4 * grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.square(middle - around).mean()) if middle.size else 0.0
