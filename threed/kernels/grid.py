"""Values of a grid of distances at vertices and between them, and the ways back."""

import numpy as np

from threed.kernels import compiled

# A whole number beside a float32 would make a double.
ZERO, HALF, ONE, TWO = np.float32(0), np.float32(0.5), np.float32(1), np.float32(2)


@compiled
def differences(distance, vertices, table, bend):
    """Fill in distance and gradient, and second differences, at vertices.

    On the border a neighbour that is not there is the vertex itself.

    Args:
        distance: (depth, height, width).
        vertices: Flat indices, int64, (vertex,).
        table: (vertex, 4); filled.
        bend: (vertex, 3); filled.
    """
    depth, height, width = distance.shape
    flat = distance.ravel()
    sizes = (width, height, depth)
    strides = (1, width, width * height)
    for row in range(len(vertices)):
        vertex = vertices[row]
        place = (vertex % width, vertex // width % height, vertex // (width * height))
        here = flat[vertex]
        table[row, 0] = here
        for axis in range(3):
            before = flat[vertex - strides[axis]] if place[axis] > 0 else here
            after = flat[vertex + strides[axis]] if place[axis] < sizes[axis] - 1 else here
            table[row, 1 + axis] = HALF * (after - before)
            bend[row, axis] = before + after - TWO * here


@compiled
def differences_back(vertices, table, bend, distance):
    """Add the gradients of `differences`'s results to that of the distance.

    Args:
        vertices: As there.
        table: Gradient, (vertex, 4).
        bend: Gradient, (vertex, 3).
        distance: (depth, height, width); added to.
    """
    depth, height, width = distance.shape
    flat = distance.reshape(-1)
    sizes = (width, height, depth)
    strides = (1, width, width * height)
    for row in range(len(vertices)):
        vertex = vertices[row]
        place = (vertex % width, vertex // width % height, vertex // (width * height))
        here = table[row, 0]
        for axis in range(3):
            slope = HALF * table[row, 1 + axis]
            curve = bend[row, axis]
            here -= TWO * curve
            if place[axis] > 0:
                flat[vertex - strides[axis]] += curve - slope
            else:
                here += curve - slope
            if place[axis] < sizes[axis] - 1:
                flat[vertex + strides[axis]] += curve + slope
            else:
                here += curve + slope
        flat[vertex] += here


@compiled
def surround(places, shape, index, weights):
    """Fill in the eight vertices about each place and their trilinear weights, z outermost.

    Args:
        places: Voxels from the first vertex along x, y and z, (row, 3); outside is the border.
        shape: Vertices of the grid along z, y and x.
        index: Flat indices, int32, (row, 8); filled.
        weights: (row, 8); filled.
    """
    depth, height, width = shape
    for row in range(len(places)):
        x, right = _cell(places[row, 0], width)
        y, down = _cell(places[row, 1], height)
        z, back = _cell(places[row, 2], depth)
        term = 0
        for dz in range(2):
            along = back if dz else ONE - back
            for dy in range(2):
                across = along * (down if dy else ONE - down)
                for dx in range(2):
                    index[row, term] = ((z + dz) * height + y + dy) * width + x + dx
                    weights[row, term] = across * (right if dx else ONE - right)
                    term += 1


@compiled
def _cell(place, count):
    # What is no number lies below, too: nothing outside of the grid may be touched.
    inner = min(place, np.float32(count - 1)) if place > ZERO else ZERO
    first = min(int(inner), count - 2)
    return first, inner - np.float32(first)


@compiled
def mark(index, used):
    """Set the flags of all vertices that are named, (row, term)."""
    for row in range(len(index)):
        for term in range(index.shape[1]):
            used[index[row, term]] = True


@compiled
def renumber(index, number, out):
    """Fill in each vertex's number, int32, (row, term)."""
    for row in range(len(index)):
        for term in range(index.shape[1]):
            out[row, term] = number[index[row, term]]


@compiled
def combine(index, weights, table, out):
    """Fill in weighted sums of a table's rows.

    Args:
        index: Rows of the table, int32, (row, term).
        weights: (row, term).
        table: (column, 4).
        out: (row, 4); filled.
    """
    for row in range(len(index)):
        a = b = c = d = ZERO
        for term in range(index.shape[1]):
            source, weight = index[row, term], weights[row, term]
            a += weight * table[source, 0]
            b += weight * table[source, 1]
            c += weight * table[source, 2]
            d += weight * table[source, 3]
        out[row, 0], out[row, 1], out[row, 2], out[row, 3] = a, b, c, d


@compiled
def combine_back(index, weights, grad, table):
    """Add the gradient of `combine`'s sums to that of the table."""
    for row in range(len(index)):
        a, b, c, d = grad[row, 0], grad[row, 1], grad[row, 2], grad[row, 3]
        for term in range(index.shape[1]):
            target, weight = index[row, term], weights[row, term]
            table[target, 0] += weight * a
            table[target, 1] += weight * b
            table[target, 2] += weight * c
            table[target, 3] += weight * d
