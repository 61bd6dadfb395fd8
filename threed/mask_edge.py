"""A segmentation network's coarse logits as coverage at the picture's own size, and clean colours.

Where the logits cross zero is the outline, known to about a step of their grid. Over their own
slope they are a distance to it, so that coverage falls from 1 to 0 over one pixel, however steep
or coarse they are. Within a step of it the picture itself is asked: a pixel mixes I = a F +
(1 - a) B, with F and B from what is surely object and surely background nearby, and a is the
projection of I - B on F - B, believed as far as the two colours differ by more than they vary, and
the less the farther a pixel lies from the outline on the other side. What of I such a mix does not
explain is given to F by its share: Forte, "Approximate Fast Foreground Colour Estimation", ICIP
2021, equation 7.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from scipy import ndimage
from torch.nn import functional as F

from threed.matte import without_specks

LEAST_SLOPE = 1e-6
"""Of logits, a pixel: where they are flat, only their sign counts."""


@dataclass(frozen=True, kw_only=True)
class _Surroundings:
    """One part's own colours, carried on beyond what is surely that part."""

    colour: Float[np.ndarray, "height width 3"]
    variance: Float[np.ndarray, "height width"]
    """Of the colours nearby."""
    depth: Float[np.ndarray, "height width"]
    """Pixels to the part's end; 0 outside it."""


def cut_along(
    picture: UInt8[np.ndarray, "height width 3"], logits: Float[np.ndarray, "rows columns"]
) -> Float[np.ndarray, "height width 4"]:
    """Return premultiplied RGBA, sRGB in [0, 1], of what the logits say is object.

    Args:
        picture: sRGB.
        logits: Positive inside the object; they cover the whole picture, finer or coarser.
    """
    height, width = picture.shape[:2]
    alpha = coverage(logits, height, width)
    image = picture.astype(np.float32) / 255
    margin = 1 + max(height / logits.shape[0], width / logits.shape[1])
    own = _surroundings(image, alpha > 0.5, margin)
    behind = _surroundings(image, alpha <= 0.5, margin)
    difference = own.colour - behind.colour
    strength = (difference**2).sum(axis=-1)
    mix = ((image - behind.colour) * difference).sum(axis=-1) / np.maximum(strength, 1e-6)
    told = strength / (strength + 3 * (own.variance + behind.variance) + 1e-4)
    # What the colours say against what the logits say, which are surer farther from the outline:
    # colours of either side come again on the other.
    seen = alpha + told * (mix.clip(0, 1) - alpha)
    expected = (0.5 + 0.5 * (own.depth - behind.depth) / margin).clip(0, 1)
    inside, outside = seen * expected, (1 - seen) * (1 - expected)
    a = (inside / np.maximum(inside + outside, 1e-6))[..., None]
    unexplained = image - a * own.colour - (1 - a) * behind.colour
    colour = (own.colour + a * unexplained).clip(0, 1)
    return np.concatenate([a * colour, a], axis=-1).astype(np.float32)


def coverage(
    logits: Float[np.ndarray, "rows columns"], height: int, width: int
) -> Float[np.ndarray, "height width"]:
    """Return each pixel's share of the object, which ends over one pixel; specks are left out."""
    field = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(logits))[None, None],
        size=(height, width),
        mode="bicubic",
        align_corners=False,
        antialias=True,
    )[0, 0].numpy()
    down, right = np.gradient(field)
    alpha = (0.5 + field / np.maximum(np.hypot(down, right), LEAST_SLOPE)).clip(0, 1)
    kept = np.asarray(ndimage.binary_dilation(without_specks(field > 0), iterations=2))
    return np.where(kept, alpha, 0).astype(np.float32)


def _surroundings(
    image: Float[np.ndarray, "height width 3"],
    part: Bool[np.ndarray, "height width"],
    margin: float,
) -> _Surroundings:
    padded = np.asarray(ndimage.distance_transform_edt(np.pad(part, 1, "edge")))
    depth = padded[1:-1, 1:-1]
    # Where a part is too thin for that, its middle is as sure as it gets.
    middle = part & (depth >= ndimage.maximum_filter(depth, size=3))
    sure = (depth > margin) | middle
    nearest = np.zeros((2, *part.shape), dtype=np.int32)
    ndimage.distance_transform_edt(
        ~sure, return_distances=False, return_indices=True, indices=nearest
    )

    weight = np.maximum(ndimage.gaussian_filter(sure.astype(np.float32), margin), 1e-6)[..., None]
    known, reach = image * sure[..., None], (margin, margin, 0)
    mean = ndimage.gaussian_filter(known, reach) / weight
    variance = (ndimage.gaussian_filter(known**2, reach) / weight - mean**2).mean(axis=-1).clip(0)
    # Of the nearest sure pixel's surroundings, so that no single pixel's noise is carried on.
    rows, columns = nearest
    return _Surroundings(
        colour=np.where(sure[..., None], image, mean[rows, columns]),
        variance=variance[rows, columns],
        depth=depth.astype(np.float32),
    )
