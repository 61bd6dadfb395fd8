"""Triangles to pixels, a depth buffer a view."""

import numpy as np

from threed.kernels import compiled

ONE, HALF, ZERO = np.float32(1), np.float32(0.5), np.float32(0)
FLAT, EDGE = np.float32(1e-9), np.float32(-1e-6)


@compiled
def draw(corners, depths, low, extent, face_out, weights_out, depth_out, behind):
    """Draw every view's faces; of several at the same depth the last is kept.

    Args:
        corners: Pixel coordinates, (view, face, 3, 2).
        depths: Distances along the view axis, (view, face, 3).
        low: First column and row whose centres a face may cover, (view, face, 2).
        extent: How many columns and rows, (view, face, 2).
        face_out: Index of the nearest face, int64, (view, height, width); -1 where there is none.
        weights_out: Its corners' weights, (view, height, width, 3).
        depth_out: Its depth, (view, height, width); infinite where there is none.
        behind: Factor on the depth of faces that are seen from behind.
    """
    _, height, width = face_out.shape
    farness = np.empty((height, width), np.float32)
    for view in range(len(corners)):
        farness[:] = np.inf
        for face in range(corners.shape[1]):
            columns, rows = int(extent[view, face, 0]), int(extent[view, face, 1])
            if columns <= 0 or rows <= 0:
                continue
            ax, ay = corners[view, face, 0, 0], corners[view, face, 0, 1]
            bx, by = corners[view, face, 1, 0], corners[view, face, 1, 1]
            cx, cy = corners[view, face, 2, 0], corners[view, face, 2, 1]
            area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
            if not abs(area) > FLAT:
                continue
            # Rows count downwards, so corners that run counter-clockwise have a negative area.
            bias = behind if area > ZERO else ONE
            first_x, first_y = low[view, face, 0] + HALF, low[view, face, 1] + HALF
            right_a, right_b, right_c = (by - cy) / area, (cy - ay) / area, (ay - by) / area
            down_a, down_b, down_c = (cx - bx) / area, (ax - cx) / area, (bx - ax) / area
            # Relative to a corner of the edge, for float32's sake.
            base_a = right_a * (first_x - bx) + down_a * (first_y - by)
            base_b = right_b * (first_x - cx) + down_b * (first_y - cy)
            base_c = right_c * (first_x - ax) + down_c * (first_y - ay)
            near_a = ONE / depths[view, face, 0]
            near_b = ONE / depths[view, face, 1]
            near_c = ONE / depths[view, face, 2]
            for row in range(rows):
                y = int(low[view, face, 1]) + row
                for column in range(columns):
                    over, under = np.float32(column), np.float32(row)
                    a = base_a + right_a * over + down_a * under
                    b = base_b + right_b * over + down_b * under
                    c = base_c + right_c * over + down_c * under
                    if not min(a, b, c) >= EDGE:
                        continue
                    a, b, c = max(a, ZERO) * near_a, max(b, ZERO) * near_b, max(c, ZERO) * near_c
                    inverse = a + b + c
                    depth = ONE / inverse
                    x = int(low[view, face, 0]) + column
                    if depth * bias <= farness[y, x]:
                        farness[y, x] = depth * bias
                        face_out[view, y, x] = face
                        depth_out[view, y, x] = depth
                        weights_out[view, y, x, 0] = a / inverse
                        weights_out[view, y, x, 1] = b / inverse
                        weights_out[view, y, x, 2] = c / inverse
