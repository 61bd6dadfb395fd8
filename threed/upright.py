"""Which axis points up, and how what stands along z is stood up where only +y is known as up."""

from typing import Literal

import numpy as np
from jaxtyping import Float

Up = Literal["y", "z"]
"""The axis of a world that points up."""
STAND_UP = (-(0.5**0.5), 0.0, 0.0, 0.5**0.5)
"""The quarter turn about x that brings +z to +y, as glTF's quaternion (x, y, z, w)."""


def upright(vectors: Float[np.ndarray, "vector 3"], up: Up) -> Float[np.ndarray, "vector 3"]:
    """Return vectors in a world whose up is +y."""
    return vectors if up == "y" else vectors[:, [0, 2, 1]] * np.float32([1, 1, -1])  # pyright: ignore[reportArgumentType]
