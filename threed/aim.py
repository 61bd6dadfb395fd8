"""Where pictures whose cameras are known show what all of them look at."""

import numpy as np
from jaxtyping import Float

from threed.resample import Lens

MIDDLE = (0.5, 0.5)


def meeting_point(c2w: Float[np.ndarray, "view 4 4"]) -> Float[np.ndarray, " 3"]:
    """Return the point nearest to all cameras' axes, about which an object stands."""
    axes, origins = c2w[:, :3, 2], c2w[:, :3, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    # Cameras that all look the same way meet nowhere; then the point is near to them.
    system = across.sum(axis=0) + 1e-6 * np.eye(3)
    return np.linalg.solve(system, np.einsum("vij,vj->i", across, origins))


def seen_at(
    point: Float[np.ndarray, " 3"],
    c2w: Float[np.ndarray, "4 4"],
    lens: Lens,
    width: int,
    height: int,
) -> tuple[float, float]:
    """Return where a picture shows a point, shares of its width and height from the top left.

    A point that it does not show is taken to be at its middle.
    """
    x, y, z = c2w[:3, :3].T @ (point - c2w[:3, 3])
    if z >= 0:
        return MIDDLE
    # The image's second axis points down.
    across, down = lens.distort(np.array([x / -z, y / z]))
    place = (
        float(lens.fl_x * across + lens.cx) / width,
        float(lens.fl_y * down + lens.cy) / height,
    )
    return place if min(place) > 0 and max(place) < 1 else MIDDLE
