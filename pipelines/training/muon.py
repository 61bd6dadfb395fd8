"""Muon with the matrices of one shape taken together."""

import math
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

# Of the quintic that drives singular values towards one (Jordan et al. 2024), and how often.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NUM_ITERATIONS = 5


class BatchedMuon(torch.optim.Muon):
    """`torch.optim.Muon` in a few large products instead of thousands of small ones.

    A transformer's blocks have matrices of the same shapes; one by one their products are too small
    to keep a GPU busy. State and updates are those of torch's class with the adjustment
    `match_rms_adamw`.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:
        """Apply the gradients.

        Raises:
            ValueError: A closure is given.
        """
        if closure is not None:
            raise ValueError("this optimiser takes no closure")
        for group in self.param_groups:
            alike: dict[torch.Size, tuple[list[Tensor], list[Tensor]]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    parameters, gradients = alike.setdefault(parameter.shape, ([], []))
                    parameters.append(parameter)
                    gradients.append(parameter.grad)
            for parameters, gradients in alike.values():
                self._step_alike(group, parameters, gradients)

    def _step_alike(
        self, group: dict[str, Any], parameters: list[Tensor], gradients: list[Tensor]
    ) -> None:
        momenta = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            momenta.append(state["momentum_buffer"])
        torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
        looked_ahead = torch._foreach_lerp(gradients, momenta, group["momentum"])
        updates = orthogonal(torch.stack(looked_ahead)).to(parameters[0].dtype)
        rate = group["lr"] * 0.2 * math.sqrt(max(parameters[0].shape))
        torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(parameters, list(updates), alpha=-rate)


def orthogonal(matrices: Float[Tensor, "matrix row column"]) -> Float[Tensor, "matrix row column"]:
    """Return matrices of the same singular vectors, and singular values of about one.

    By Newton and Schulz's iteration, in bfloat16.
    """
    tall = matrices.shape[1] > matrices.shape[2]
    wide = (matrices.mT if tall else matrices).bfloat16()
    wide = wide / wide.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(NUM_ITERATIONS):
        gram = wide @ wide.mT
        wide = torch.baddbmm(wide, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), wide, beta=a)
    return wide.mT if tall else wide
