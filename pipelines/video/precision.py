"""The number format that is fastest where a model runs."""

import torch


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """Return bfloat16 where the device multiplies matrices in it natively, else float32.

    On a CPU that takes dot products of bfloat16 (AVX-512 BF16) or tiles of it (AMX): others emulate
    it and are slower for it.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def mixed_precision(device: torch.device | str) -> torch.autocast:
    """Return a context in which matrix products run in `fast_dtype`; float32 weights stay so."""
    dtype = fast_dtype(device)
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16
    )
