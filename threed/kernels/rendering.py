"""From distances at packed samples to what rays see, and the ways back."""

import numpy as np

from threed.kernels import compiled

ONE, ZERO = np.float32(1), np.float32(0)
# A logistic's argument beyond which it is nothing, and not yet too small for a number.
FARTHEST = 80.0


@compiled
def end(values, joined, starts, sharpness, weights, left):
    """Fill in the probability that a ray ends behind each sample, as `surface_weights` says.

    Args:
        values: Distance and its gradient, (sample, 4).
        joined: Whether an interval follows a sample, (sample,).
        starts: Index of each ray's first sample, and the number of samples, int64, (ray + 1,).
        sharpness: Slope of the logistic.
        weights: (sample,); filled.
        left: Probability that the ray comes as far as the sample, (sample,); filled.
    """
    for ray in range(len(starts) - 1):
        through = 1.0
        here = 0.0
        for row in range(starts[ray], starts[ray + 1]):
            if row == starts[ray] or not joined[row - 1]:
                here = _odds(values[row, 0] * sharpness)
            left[row] = through
            weights[row] = ZERO
            if joined[row]:
                there = _odds(values[row + 1, 0] * sharpness)
                # The logistic is 1 / (1 + odds).
                if there > here:
                    behind = through * ((1 + here) / (1 + there))
                    weights[row] = through - behind
                    through = behind
                here = there


@compiled
def end_back(values, starts, sharpness, weights, left, grad, out):
    """Add the gradient of `end`'s weights to that of the values."""
    for ray in range(len(starts) - 1):
        later = 0.0
        for row in range(starts[ray + 1] - 1, starts[ray] - 1, -1):
            if weights[row] > 0:
                fall = later - grad[row] * (left[row] - weights[row])
                later = fall + grad[row] * left[row]
                slope = fall * sharpness
                out[row + 1, 0] += slope / (1 + _odds(-values[row + 1, 0] * sharpness))
                out[row, 0] -= slope / (1 + _odds(-values[row, 0] * sharpness))


@compiled
def _odds(value):
    return np.exp(min(-value, FARTHEST))


@compiled
def see(weights, values, starts, chosen, albedo, floor, seen):
    """Fill in what rays see: colour (3), normal (3), weight with a colour, weight.

    Args:
        weights: As `end` filled them in.
        values: Distance and its gradient, (sample, 4); an interval's normal is that of its ends.
        starts: As there; of some rays alone where these are done for themselves.
        chosen: Samples with a colour, ascending, int64.
        albedo: Their colours, (chosen, 3).
        floor: Length of a gradient that is no shorter divided by.
        seen: (ray, 8); filled.
    """
    colour = np.searchsorted(chosen, starts[0])
    for ray in range(len(starts) - 1):
        for channel in range(8):
            seen[ray, channel] = ZERO
        for row in range(starts[ray], starts[ray + 1]):
            weight = weights[row]
            if weight > 0:
                x, y, z, _ = _normal(values, row, floor)
                seen[ray, 3] += weight * x
                seen[ray, 4] += weight * y
                seen[ray, 5] += weight * z
                seen[ray, 7] += weight
            if colour < len(chosen) and chosen[colour] == row:
                for channel in range(3):
                    seen[ray, channel] += weight * albedo[colour, channel]
                seen[ray, 6] += weight
                colour += 1


@compiled
def see_back(
    weights, values, starts, chosen, albedo, floor, grad, to_weights, to_values, to_albedo
):
    """Fill in the gradients of `see`'s weights and colours, and add that of its values."""
    colour = np.searchsorted(chosen, starts[0])
    for ray in range(len(starts) - 1):
        for row in range(starts[ray], starts[ray + 1]):
            weight = weights[row]
            to_weights[row] = ZERO
            if weight > 0:
                x, y, z, scale = _normal(values, row, floor)
                along = grad[ray, 3] * x + grad[ray, 4] * y + grad[ray, 5] * z
                to_weights[row] = grad[ray, 7] + along
                turn = weight * scale
                # A gradient that is shorter than the floor has no length to be kept.
                held = along if scale * floor < ONE else ZERO
                for axis, normal in enumerate((x, y, z)):
                    slope = turn * (grad[ray, 3 + axis] - held * normal)
                    to_values[row, 1 + axis] += slope
                    to_values[row + 1, 1 + axis] += slope
            if colour < len(chosen) and chosen[colour] == row:
                to_weights[row] += grad[ray, 6]
                for channel in range(3):
                    to_weights[row] += grad[ray, channel] * albedo[colour, channel]
                    to_albedo[colour, channel] = weight * grad[ray, channel]
                colour += 1


@compiled
def _normal(values, row, floor):
    x = values[row, 1] + values[row + 1, 1]
    y = values[row, 2] + values[row + 1, 2]
    z = values[row, 3] + values[row + 1, 3]
    scale = ONE / max(np.float32(np.sqrt(x * x + y * y + z * z)), floor)
    return x * scale, y * scale, z * scale, scale


@compiled
def surface_penalty(table, bend, to_table, to_bend, reach, eikonal, smooth, beta):
    """Return the sum of `surface_loss` over vertices, and fill in its gradients.

    Args:
        table: Distance and gradient, (vertex, 4).
        bend: Second differences, (vertex, 3).
        to_table: (vertex, 4); filled.
        to_bend: (vertex, 3); filled.
        reach: Vertices at this distance and farther do not count.
        eikonal: Weight of what the gradient's length is off one.
        smooth: Weight of the second differences.
        beta: Where the robust loss turns from square to straight.
    """
    total = 0.0
    for row in range(len(table)):
        to_table[row, 0] = ZERO
        if abs(table[row, 0]) >= reach:
            for axis in range(3):
                to_table[row, 1 + axis] = ZERO
                to_bend[row, axis] = ZERO
            continue
        x, y, z = table[row, 1], table[row, 2], table[row, 3]
        length = np.float32(np.sqrt(x * x + y * y + z * z + np.float32(1e-6)))
        off = length - ONE
        total += eikonal * off * off
        slope = np.float32(2) * eikonal * off / length
        for axis in range(3):
            to_table[row, 1 + axis] = slope * table[row, 1 + axis]
            value = bend[row, axis]
            size = abs(value)
            half = np.float32(0.5)
            total += smooth * (half * value * value / beta if size < beta else size - half * beta)
            to_bend[row, axis] = smooth * min(max(value / beta, -ONE), ONE)
    return total
