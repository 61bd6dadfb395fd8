"""A walk along rays through a grid of distances."""

import numpy as np

from threed.kernels import compiled


@compiled
def walk(distance, places, slopes, start, stop, length, speed, band, error):
    """Return which positions along each ray are kept, one ray after another, and how many of each.

    A position is kept if the nearest vertex is within the band, or that of a neighbour on its ray
    is; a ray ends before the second that lies beyond the band inside. Far from the surface as many
    are passed over as the distance allows.

    Args:
        distance: Voxels, (depth, height, width).
        places: Origins of the rays, voxels from the first vertex, plus a half, (ray, 3).
        slopes: Directions, voxels a unit of length, (ray, 3).
        start: Length at which a ray's position 0 lies, (ray,).
        stop: Length at which it has left the grid, (ray,).
        length: Between two positions.
        speed: Voxels between two positions.
        band: Greatest distance that is kept, voxels.
        error: How much nearer the surface may be than the nearest vertex says, voxels.
    """
    depth, height, width = distance.shape
    orders = np.empty(16 * len(start) + 16, np.int32)
    counts = np.zeros(len(start), np.int64)
    count = 0
    for ray in range(len(start)):
        first = count
        kept = -2
        near = -2
        solid = 0
        order = 0
        while True:
            if count + 2 > len(orders):
                more = np.empty(2 * len(orders), np.int32)
                more[:count] = orders[:count]
                orders = more
            along = start[ray] + np.float32(order) * length
            if not along < stop[ray]:
                if near == order - 1:
                    orders[count] = order
                    count += 1
                break
            x = min(max(int(places[ray, 0] + slopes[ray, 0] * along), 0), width - 1)
            y = min(max(int(places[ray, 1] + slopes[ray, 1] * along), 0), height - 1)
            z = min(max(int(places[ray, 2] + slopes[ray, 2] * along), 0), depth - 1)
            found = distance[z, y, x]
            if found < -band:
                solid += 1
                if solid > 1:
                    break
            if -band < found < band:
                if kept < order - 1 and order > 0:
                    orders[count] = order - 1
                    count += 1
                orders[count] = order
                count += 1
                kept = near = order
            elif near == order - 1:
                orders[count] = order
                count += 1
                kept = order
            order += max(1, int((found - band - error) / speed))
        counts[ray] = count - first
    return orders[:count].copy(), counts
