"""Any lens to the project's own camera: one centred pinhole with square pixels for all views.

Coordinates called `tangent` lie on the plane one unit in front of a camera, x right and y down.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch.nn import functional as F

MARGIN = 1.06
"""Room around the object, so that its edge is seen to be an edge."""
LEAST_SCALE = 0.7
"""One bilinear look a pixel skips nothing down to this scale."""
LOOKS = 2
"""Looks a pixel, along each side, where it shrinks further."""


@dataclass(frozen=True, kw_only=True)
class Lens:
    """How one view's pixels lie in space; OpenCV's model, pixel centres at +0.5."""

    fl_x: float
    """Focal length, pixels of width."""
    fl_y: float
    """Focal length, pixels of height."""
    cx: float
    """Principal point, pixels from the left."""
    cy: float
    """Principal point, pixels from the top."""
    radial: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """k1 to k4, factors of the second, fourth, sixth and eighth power of the radius."""
    tangential: tuple[float, float] = (0.0, 0.0)
    """p1 and p2."""

    def scaled(self, x: float, y: float) -> "Lens":
        """Return the lens of the same view with its pixels resized."""
        return Lens(
            fl_x=self.fl_x * x,
            fl_y=self.fl_y * y,
            cx=self.cx * x,
            cy=self.cy * y,
            radial=self.radial,
            tangential=self.tangential,
        )

    def distort(self, tangent: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Return where the lens puts tangent coordinates (Brown and Conrady, as in OpenCV)."""
        x, y = tangent[..., 0], tangent[..., 1]
        k1, k2, k3, k4 = self.radial
        p1, p2 = self.tangential
        r2 = x * x + y * y
        factor = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
        return np.stack(
            [
                x * factor + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
                y * factor + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
            ],
            axis=-1,
        )

    def to_pixels(self, tangent: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Return pixel coordinates of tangent coordinates."""
        return self.distort(tangent) * [self.fl_x, self.fl_y] + [self.cx, self.cy]

    def to_tangent(self, pixels: Float[np.ndarray, "*batch 2"]) -> Float[np.ndarray, "*batch 2"]:
        """Return tangent coordinates of pixels; the lens is undone by fixed-point iteration."""
        target = (pixels - [self.cx, self.cy]) / [self.fl_x, self.fl_y]
        tangent = target
        for _ in range(30):
            tangent = tangent + (target - self.distort(tangent))
        return tangent


def object_extent(alpha: Float[np.ndarray, "height width"], lens: Lens) -> Float[np.ndarray, " 2"]:
    """Return half width and half height, in tangent units, of the centred frame that holds it.

    An empty picture has extent zero.
    """
    height, width = alpha.shape
    rows, columns = np.nonzero(alpha > 0.02)
    if len(rows) == 0:
        return np.zeros(2)
    # Only the outline can be extreme, so only each row's ends and each column's ends are undone.
    corners = []
    for fixed, moving, swap in ((rows, columns, False), (columns, rows, True)):
        low = np.full(max(height, width), np.iinfo(np.int64).max)
        high = np.full(max(height, width), -1)
        np.minimum.at(low, fixed, moving)
        np.maximum.at(high, fixed, moving)
        used = np.nonzero(high >= 0)[0]
        for ends, step in ((low[used], 0), (high[used], 1)):
            pair = (used + 0.5, ends + step) if swap else (ends + step, used + 0.5)
            corners.append(np.stack(pair, axis=-1).astype(np.float64))
    return np.abs(lens.to_tangent(np.concatenate(corners))).max(axis=0)


def frame_size(
    extent: Float[np.ndarray, " 2"], size: int, most: Float[np.ndarray, " 2"] | None = None
) -> tuple[int, int, float]:
    """Return width, height (the longer is `size`, both even) and fov_y of a frame.

    Args:
        extent: Half width and half height of what it must hold, in tangent units.
        size: Pixels.
        most: The largest half width and half height that it may have, up to even sides.
    """
    wanted = extent * MARGIN if most is None else np.minimum(extent * MARGIN, most)
    longest = float(wanted.max())
    sides = [max(2, min(size, 2 * math.ceil(size * half / longest / 2 - 1e-6))) for half in wanted]
    # Square pixels: the shorter side is rounded, so the half height follows from the longer.
    return sides[0], sides[1], 2 * math.atan(longest * sides[1] / size)


def resample(
    image: Float[np.ndarray, "height width 4"], lens: Lens, width: int, height: int, fov_y: float
) -> Float[np.ndarray, "rows columns 4"]:
    """Return a premultiplied picture as a centred pinhole of another size sees it.

    Shrinking averages over areas; what lies outside the source is transparent.
    """
    focal = 0.5 * height / math.tan(0.5 * fov_y)
    scales = np.array([focal / lens.fl_x, focal / lens.fl_y])
    # Bilinear looks alone are good down to a certain scale; below, the mean of a few is as sharp
    # wherever between the source's pixels they fall, which a single look is not.
    looks = 1 if scales.min() > LEAST_SCALE else LOOKS
    # Shrunk first by areas as far as the looks would skip pixels.
    first = np.where(looks * scales > LEAST_SCALE, 1.0, looks * scales)
    columns, rows = size = np.array(image.shape[1::-1])
    small = np.maximum(1, np.round(size * first)).astype(int)
    if (small != size).any():
        image = np.stack(
            [
                np.asarray(Image.fromarray(plane).resize(tuple(small), Image.Resampling.HAMMING))
                for plane in np.moveaxis(image, -1, 0).astype(np.float32)
            ],
            axis=-1,
        )
        lens = lens.scaled(small[0] / columns, small[1] / rows)
    x = ((np.arange(looks * width) + 0.5) / looks - 0.5 * width) / focal
    y = ((np.arange(looks * height) + 0.5) / looks - 0.5 * height) / focal
    pixels = lens.to_pixels(np.stack(np.meshgrid(x, y), axis=-1))
    grid = torch.from_numpy(2 * pixels / small - 1).float()
    source = torch.from_numpy(np.ascontiguousarray(image)).float().permute(2, 0, 1)
    out = F.grid_sample(source[None], grid[None], padding_mode="zeros", align_corners=False)
    return F.avg_pool2d(out, looks)[0].permute(1, 2, 0).numpy()
