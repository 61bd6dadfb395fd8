"""Which network is on the GPU when: a plan of `memory` carried out.

The text encoder, the transformer and the decoder work one after another. `resident` leaves them on
the device, the other modes bring each when it works and take it away after; with `streamed`
diffusers brings layers one by one.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from pipelines.models.memory import TRANSFORMER, Mode

# Weights of at most this many bytes are not worth streaming.
SMALL = 1 << 30


class Stages:
    """The networks of a pipeline and where they are."""

    def __init__(
        self, pipeline: Any, parts: tuple[str, ...], mode: Mode, device: torch.device | str
    ) -> None:
        self.pipeline = pipeline
        self.parts = parts
        self.mode: Mode = mode
        self.device = torch.device(device)
        self.dtype: torch.dtype = getattr(pipeline, TRANSFORMER).dtype
        self._hooked: set[str] = set()
        for name in parts:
            module: Any = self._module(name)
            module.eval().requires_grad_(False)
            if name == TRANSFORMER and mode == "fp8":
                cast_to_fp8(module, self.dtype)
            if self._streams(name):
                stream(module, self.device)
                self._hooked.add(name)
            elif mode == "resident":
                module.to(self.device)

    def _module(self, name: str) -> nn.Module:
        return getattr(self.pipeline, name)

    def _streams(self, name: str) -> bool:
        if self.device.type == "cpu" or self.mode in ("resident", "staged"):
            return False
        size = sum(p.numel() * p.element_size() for p in self._module(name).parameters())
        return size > SMALL and (self.mode == "streamed" or name != TRANSFORMER)

    @contextmanager
    def at_work(self, *names: str) -> Generator[None, None, None]:
        """Have networks on the device for a block, and take them away where memory is short."""
        moved = [name for name in names if name not in self._hooked]
        try:
            for name in moved:
                self._module(name).to(self.device)
            yield
        finally:
            if self.mode != "resident" and self.device.type != "cpu":
                for name in moved:
                    self._module(name).to("cpu")
                torch.cuda.empty_cache()

    def on_device(self) -> set[str]:
        """Return the networks whose weights are on the device now."""
        return {
            name
            for name in self.parts
            if next(self._module(name).parameters()).device.type == self.device.type
        }


def cast_to_fp8(module: Any, dtype: torch.dtype) -> None:
    """Keep a transformer's weights as 8-bit floats, widened to `dtype` as they are used."""
    module.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=dtype)


def stream(module: nn.Module, device: torch.device) -> None:
    """Let a network's layers come to the device as they are used, the next while one computes."""
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        module,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=True,
        # Pinning everything would take the main memory twice.
        low_cpu_mem_usage=True,
    )
