"""Alpha of whole clips: whether it outlines an object, and frames without it where it does not.

Round corners, a stray hole and the empty bars beside a picture of another shape are alpha too, and
what they leave opaque is the picture, background and all.
"""

import numpy as np
from jaxtyping import Bool, UInt8
from scipy import ndimage

from threed.picture import MOST_OPAQUE

MOST_OFF = 0.005
"""The share of a frame by which a picture between bars may differ from a rectangle."""
STEADY = 0.9
"""The share of the frames that must show the same rectangle; an object's outline turns."""
NOTE = "the clip's alpha, which outlines no object, was left out"


def is_matte(alpha: UInt8[np.ndarray, "frame height width"]) -> bool:
    """Return whether a clip's alpha says what is object.

    It does not where half the frames are opaque but for a few percent, nor where the opaque part
    is one rectangle throughout that reaches two opposite edges.
    """
    opaque = alpha >= 128
    if np.median(opaque.mean(axis=(1, 2))) > MOST_OPAQUE:
        return False
    rectangle = _rectangle(opaque.mean(axis=0) > 0.5)
    across = rectangle[:, [0, -1]].any(axis=0).all()
    down = rectangle[[0, -1]].any(axis=1).all()
    if not across and not down:
        return True
    off = (opaque != rectangle).mean(axis=(1, 2))
    return float(np.quantile(off, STEADY)) > MOST_OFF


def without_alpha(
    clip: UInt8[np.ndarray, "frame height width 4"],
) -> UInt8[np.ndarray, "frame height width 3"]:
    """Return a clip's colours; what alpha hid has that of the nearest pixel that was shown.

    What lies behind alpha is often black, and would be taken for a part of the object or its
    background.
    """
    colours = clip[..., :3].copy()
    hidden_before = np.zeros(clip.shape[1:3], bool)
    nearest = np.indices(hidden_before.shape, dtype=np.int32)
    for frame, hidden in zip(colours, clip[..., 3] < 128, strict=True):
        if not hidden.any() or hidden.all():
            continue
        # Corners and bars are the same in all frames.
        if (hidden != hidden_before).any():
            ndimage.distance_transform_edt(
                hidden, return_distances=False, return_indices=True, indices=nearest
            )
            hidden_before = hidden
        frame[:] = frame[nearest[0], nearest[1]]
    return colours


def _rectangle(opaque: Bool[np.ndarray, "height width"]) -> Bool[np.ndarray, "height width"]:
    """Return the smallest upright rectangle about what is opaque."""
    filled = np.zeros_like(opaque)
    rows, columns = (np.flatnonzero(opaque.any(axis=axis)) for axis in (1, 0))
    if len(rows):
        filled[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
    return filled
