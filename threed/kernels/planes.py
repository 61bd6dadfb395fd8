"""The sum of three planes' features at points, and the way back to the planes."""

import numpy as np

from threed.kernels import compiled

# Which of a point's coordinates run along a plane's width and along its height.
ACROSS = (0, 0, 1)
DOWN = (1, 2, 2)
# A whole number beside a float32 would make a double.
ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)


@compiled
def look_up(points, first, second, third, out):
    """Fill in the sums of the three planes' bilinear values; points outside take the border.

    Args:
        points: In [-1, 1], the corners of the planes, (point, 3).
        first: Plane of x and y, (height, width, channel).
        second: Plane of x and z.
        third: Plane of y and z.
        out: (point, channel); filled.
    """
    for row in range(len(points)):
        for channel in range(out.shape[1]):
            out[row, channel] = ZERO
        for which in range(3):
            plane = first if which == 0 else second if which == 1 else third
            x, y, right, down = _place(points[row, ACROSS[which]], points[row, DOWN[which]], plane)
            left, up = ONE - right, ONE - down
            for channel in range(out.shape[1]):
                out[row, channel] += up * (
                    left * plane[y, x, channel] + right * plane[y, x + 1, channel]
                ) + down * (left * plane[y + 1, x, channel] + right * plane[y + 1, x + 1, channel])


@compiled
def look_up_back(points, grad, which, plane):
    """Add the gradient of `look_up`'s sums to that of one of the planes, by its place in order."""
    for row in range(len(points)):
        x, y, right, down = _place(points[row, ACROSS[which]], points[row, DOWN[which]], plane)
        left, up = ONE - right, ONE - down
        for channel in range(grad.shape[1]):
            value = grad[row, channel]
            plane[y, x, channel] += up * left * value
            plane[y, x + 1, channel] += up * right * value
            plane[y + 1, x, channel] += down * left * value
            plane[y + 1, x + 1, channel] += down * right * value


@compiled
def _place(across, down, plane):
    height, width, _ = plane.shape
    column, right = _between((across + ONE) * HALF * np.float32(width - 1), width)
    row, under = _between((down + ONE) * HALF * np.float32(height - 1), height)
    return column, row, right, under


@compiled
def _between(place, count):
    # What is no number lies below, too: nothing outside of the plane may be touched.
    inner = min(place, np.float32(count - 1)) if place > ZERO else ZERO
    first = min(int(inner), count - 2)
    return first, inner - np.float32(first)
