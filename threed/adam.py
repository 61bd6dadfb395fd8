"""Adam, and a gradient smeared out for it."""

import torch
from jaxtyping import Float
from torch import Tensor

from threed.kernels import in_parts
from threed.kernels.descent import adam_step

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
        scales = (1 / (1 - BETAS[0] ** self.num_steps), 1 / (1 - BETAS[1] ** self.num_steps))
        with torch.no_grad():
            for parameter, mean, square in zip(
                self.parameters, self.mean, self.square, strict=True
            ):
                grad = parameter.grad
                if grad is None:
                    continue
                parameter.grad = None
                step = _step if parameter.device.type == "cpu" else _step_anywhere
                step(parameter, mean, square, grad, scales, rate, self.floor)


def _step(
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
    grad: Tensor,
    scales: tuple[float, float],
    rate: float,
    floor: float,
) -> None:
    # In the order of the memory, whatever the order of the axes.
    laid = torch.empty_like(parameter).copy_(grad)
    flat = [
        values.as_strided((values.numel(),), (1,)).numpy()
        for values in (parameter, mean, square, laid)
    ]
    in_parts(
        lambda part: adam_step(*(a[part] for a in flat), BETAS, scales, rate, floor), len(flat[0])
    )


def _step_anywhere(
    parameter: Tensor,
    mean: Tensor,
    square: Tensor,
    grad: Tensor,
    scales: tuple[float, float],
    rate: float,
    floor: float,
) -> None:
    mean.lerp_(grad, 1 - BETAS[0])
    square.mul_(BETAS[1]).addcmul_(grad, grad, value=1 - BETAS[1])
    scale = (square * scales[1]).sqrt_().add_(floor)
    parameter.addcdiv_(mean, scale, value=-rate * scales[0])


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
