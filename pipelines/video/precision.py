"""The number format that a model computes in: the fastest where it runs, unless one is asked for.

LATHE_PRECISION=float32 makes the same seed give the same frames on every machine and on any number
of processes, to rounding; on a processor or a GPU that multiplies bfloat16 natively it is slower.
"""

import os

import torch

from pipelines.errors import RequestError

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """Return what LATHE_PRECISION names, else what `device` multiplies matrices in fastest.

    That is bfloat16 on a GPU, and on a CPU that multiplies tiles of it (AMX): others emulate it
    and are slower for it, even those that take dot products of it (AVX-512 BF16).

    Raises:
        RequestError: LATHE_PRECISION names none of DTYPES.
    """
    if asked := os.environ.get("LATHE_PRECISION"):
        if asked not in DTYPES:
            raise RequestError(f"LATHE_PRECISION is {asked!r}; it can be {' or '.join(DTYPES)}")
        return DTYPES[asked]
    if torch.device(device).type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if torch.cpu._is_amx_tile_supported() else torch.float32


def mixed_precision(device: torch.device | str) -> torch.autocast:
    """Return a context in which matrix products run in `fast_dtype`; float32 weights stay so."""
    dtype = fast_dtype(device)
    return torch.autocast(
        torch.device(device).type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16
    )
