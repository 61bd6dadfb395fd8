"""Adam, and a gradient smeared out for it."""

import torch
from jaxtyping import Float
from torch import Tensor

BETAS = (0.9, 0.99)


class Adam:
    """Kingma and Ba 2015, algorithm 1; torch's own costs seconds of imports when it is made."""

    def __init__(self, parameters: list[Tensor], floor: float) -> None:
        self.parameters = parameters
        self.floor = floor
        self.num_steps = 0
        self.mean = [torch.zeros_like(p) for p in parameters]
        self.square = [torch.zeros_like(p) for p in parameters]

    def step(self, rate: float) -> None:
        """Move the parameters along their gradients and forget these."""
        self.num_steps += 1
        mean_scale = 1 / (1 - BETAS[0] ** self.num_steps)
        square_scale = 1 / (1 - BETAS[1] ** self.num_steps)
        with torch.no_grad():
            for parameter, mean, square in zip(
                self.parameters, self.mean, self.square, strict=True
            ):
                if parameter.grad is None:
                    continue
                mean.lerp_(parameter.grad, 1 - BETAS[0])
                square.mul_(BETAS[1]).addcmul_(parameter.grad, parameter.grad, value=1 - BETAS[1])
                scale = (square * square_scale).sqrt_().add_(self.floor)
                parameter.addcdiv_(mean, scale, value=-rate * mean_scale)
                parameter.grad = None


def spread(
    grid: Float[Tensor, "depth height width"], width: int
) -> Float[Tensor, "depth height width"]:
    """Return a grid's running means along each axis, `width` vertices to either side, twice.

    A step along so smooth a gradient moves whole walls at once. Without, a hollow that the hull
    fills is dug out in terraces, each of which has the right normals and is hard to leave.
    """
    for _ in range(2):
        for axis in range(3):
            grid = _running_mean(grid, width, axis)
    return grid


def _running_mean(grid: Tensor, width: int, axis: int) -> Tensor:
    """Return the mean of `width` values to either side along an axis, zeros outside.

    A few sums of shifted grids; torch's pooling in three dimensions takes several times as long.
    """
    count = grid.shape[axis]
    total = grid.clone()
    for shift in range(1, min(width, count - 1) + 1):
        total.narrow(axis, shift, count - shift).add_(grid.narrow(axis, 0, count - shift))
        total.narrow(axis, 0, count - shift).add_(grid.narrow(axis, shift, count - shift))
    return total.div_(2 * width + 1)
