"""Adam."""

import torch
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
