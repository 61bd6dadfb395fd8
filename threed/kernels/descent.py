"""A step of Adam in one pass over its parameters."""

import numpy as np

from threed.kernels import compiled


@compiled
def adam_step(parameter, mean, square, grad, betas, scales, rate, floor):
    """Move a parameter along its gradient; what never had one costs next to nothing.

    Args:
        parameter: Flat; moved.
        mean: Running mean of the gradient; updated.
        square: Running mean of its square; updated.
        grad: The gradient.
        betas: Shares that the running means keep.
        scales: What makes up for their having begun at zero.
        rate: Learning rate.
        floor: Added to the square's root.
    """
    keep, keep_square = np.float32(betas[0]), np.float32(betas[1])
    turn, turn_square = np.float32(1 - betas[0]), np.float32(1 - betas[1])
    scale_square = np.float32(scales[1])
    length = np.float32(rate * scales[0])
    least = np.float32(floor)
    for place in range(len(parameter)):
        slope = grad[place]
        if slope == 0 and mean[place] == 0:
            continue
        mean[place] = keep * mean[place] + turn * slope
        square[place] = keep_square * square[place] + turn_square * slope * slope
        root = np.float32(np.sqrt(square[place] * scale_square))
        parameter[place] -= length * mean[place] / (root + least)
