"""The optimiser of the transformer, its averaged weights, and both as safetensors."""

from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from pipelines.training.muon import BatchedMuon
from pipelines.video.checkpoint import load_tensors, save_tensors

# Muon's learning rate over AdamW's.
MUON_RATE = 3.0


class Optimiser:
    """Muon on the blocks' matrices, AdamW on the rest, and an exponential moving average.

    Jordan et al., "Muon: An optimizer for hidden layers in neural networks"; its update is scaled
    to AdamW's root mean square (Liu et al., "Muon is Scalable for LLM Training"), so that one
    schedule serves both. Modulations stay with AdamW: they read a vector, not a sequence.
    """

    def __init__(self, model: nn.Module, *, learning_rate: float, ema_decay: float) -> None:
        self.model = model
        self.learning_rate = learning_rate
        self.ema_decay = ema_decay
        self.step_count = 0
        self.seconds = 0.0
        """Spent on the steps; whoever takes them counts."""
        self.parameters = dict(model.named_parameters())
        matrices = [p for name, p in self.parameters.items() if _is_hidden_matrix(name, p)]
        others = [p for name, p in self.parameters.items() if not _is_hidden_matrix(name, p)]
        # A convolutional network has no such matrices, and Muon takes no empty list.
        self.muon = (
            BatchedMuon(
                matrices, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"
            )
            if matrices
            else None
        )
        self.adam = torch.optim.AdamW(others, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.0)
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}

    def progress(self, num_steps: int, num_minutes: float | None) -> float:
        """Return the share of a training that is done: by the clock where that ends it."""
        if num_minutes is None:
            return self.step_count / num_steps
        return self.seconds / (60 * num_minutes)

    def step(self, rate: float) -> None:
        """Apply the gradients at `rate` times the learning rate, and average."""
        torch.nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        for optimiser, scale in ((self.muon, MUON_RATE), (self.adam, 1.0)):
            if optimiser is None:
                continue
            for group in optimiser.param_groups:
                group["lr"] = scale * rate * self.learning_rate
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step_count += 1
        # A young average follows closely, so that it forgets the random start.
        decay = min(self.ema_decay, (1 + self.step_count) / (10 + self.step_count))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.average.values()), list(self.parameters.values()), 1 - decay
            )

    def save(self, path: Path) -> None:
        """Write weights, averages, moments, the step count and the seconds, atomically."""
        tensors = {
            "step": torch.tensor(self.step_count),
            "seconds": torch.tensor(self.seconds, dtype=torch.float64),
        }
        for name, parameter in self.parameters.items():
            tensors[f"weight/{name}"] = parameter
            tensors[f"average/{name}"] = self.average[name]
            owner = self._owner(name)
            for key, value in owner.state.get(parameter, {}).items():
                tensors[f"moment/{key}/{name}"] = torch.as_tensor(value)
        save_tensors(tensors, path)

    def load(self, path: Path) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: The state belongs to a network of another shape.
        """
        tensors, _ = load_tensors(path)
        shapes = {name: parameter.shape for name, parameter in self.parameters.items()}
        prefix = "weight/"
        if shapes != {
            name.removeprefix(prefix): value.shape
            for name, value in tensors.items()
            if name.startswith(prefix)
        }:
            raise ValueError(f"{path} holds the training of another network; choose another folder")
        self.step_count = int(tensors["step"])
        self.seconds = float(tensors.get("seconds", 0.0))
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.copy_(tensors[f"weight/{name}"])
                self.average[name].copy_(tensors[f"average/{name}"])
        for key, value in tensors.items():
            if key.startswith("moment/"):
                _, moment, name = key.split("/", 2)
                parameter, owner = self.parameters[name], self._owner(name)
                on_host = moment == "step"
                owner.state[parameter][moment] = value if on_host else value.to(parameter.device)

    def _owner(self, name: str) -> torch.optim.Optimizer:
        if self.muon is not None and _is_hidden_matrix(name, self.parameters[name]):
            return self.muon
        return self.adam

    def averaged_state(self) -> dict[str, Tensor]:
        """Return the averaged weights by name."""
        return dict(self.average)


def is_state(path: Path) -> bool:
    """Return whether a file holds a training state."""
    with safe_open(path, framework="pt") as file:
        return "step" in file.keys()  # noqa: SIM118 (safe_open is no mapping)


def learnt_guidance(path: Path) -> bool:
    """Return whether a training state is of a network that is told its guidance."""
    with safe_open(path, framework="pt") as file:
        return any(name.startswith("weight/guidance_in.") for name in file.keys())  # noqa: SIM118


def trapezoid(step: int, progress: float, warmup_steps: int, decay_share: float) -> float:
    """Return the learning rate's factor: a linear rise, a plateau, a linear fall to zero.

    Args:
        step: From 1.
        progress: Share of the training, by steps or by time, that lies before this step.
        warmup_steps: Steps of the rise.
        decay_share: Share of the training that the fall takes.
    """
    fall = (1 - progress) / decay_share if decay_share else 1.0
    return max(0.0, min(1.0, step / max(1, warmup_steps), fall))


def _is_hidden_matrix(name: str, parameter: Tensor) -> bool:
    return name.startswith("blocks.") and parameter.ndim == 2 and ".modulation." not in name
