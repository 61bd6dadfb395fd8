"""A textured mesh without a fit: an egg whose colour is its position, or a plain pattern."""

import numpy as np

from threed.textured_mesh import TexturedMesh


def egg(
    scale: tuple[float, float, float] = (0.3, 0.6, 0.45), rows: int = 16, columns: int = 24
) -> TexturedMesh:
    """Return an ellipsoid about the origin; red, green and blue grow along x, y and z."""
    latitude = np.linspace(0, np.pi, rows + 1)[:, None]
    longitude = np.linspace(0, 2 * np.pi, columns + 1)[None]
    # The seam's two ends must be one place, to the bit.
    unit = _directions(latitude, longitude % (2 * np.pi * (1 - 1e-12)))
    uv = np.stack(np.broadcast_arrays(longitude / (2 * np.pi), 1 - latitude / np.pi), axis=-1)
    texel = (np.arange(256) + 0.5) / 256
    picture = _directions(texel[:, None] * np.pi, texel[None] * 2 * np.pi)
    normals = unit / np.array(scale)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    # Of the poles' many vertices one at each end has no face.
    used, faces = np.unique(_faces(rows, columns), return_inverse=True)
    return TexturedMesh(
        vertices=(unit * scale).reshape(-1, 3)[used].astype(np.float32),
        normals=normals.reshape(-1, 3)[used].astype(np.float32),
        uv=uv.reshape(-1, 2)[used].astype(np.float32),
        faces=faces.reshape(-1, 3),
        texture=np.rint((picture + 1) / 2 * 255).astype(np.uint8),
    )


def _directions(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    ring = np.where(np.isclose(np.sin(latitude), 0), 0.0, np.sin(latitude))
    parts = (ring * np.sin(longitude), np.cos(latitude), ring * np.cos(longitude))
    return np.stack(np.broadcast_arrays(*parts), axis=-1)


def _faces(rows: int, columns: int) -> np.ndarray:
    row, column = (grid.reshape(-1) for grid in np.indices((rows, columns)))
    corner = row * (columns + 1) + column
    below = corner + columns + 1
    upper = np.stack([corner, below, corner + 1], axis=1)[row > 0]
    lower = np.stack([corner + 1, below, below + 1], axis=1)[row < rows - 1]
    return np.concatenate([upper, lower]).astype(np.int64)
