"""The number format that is fastest where a model runs."""

import torch


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """Return bfloat16 where the device multiplies matrices in it natively, else float32.

    On a CPU that takes tile instructions (AMX): others emulate bfloat16 and are slower for it.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32


def mixed_precision(device: torch.device | str) -> torch.autocast:
    """Return a context in which matrix products run in `fast_dtype`; float32 weights stay so."""
    dtype = fast_dtype(device)
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16
    )
