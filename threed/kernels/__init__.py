"""Loops over samples, vertices and texels on a CPU, compiled by numba when they are first called.

Each is a line or two of torch elsewhere, which other devices run and the tests hold these to. On a
CPU torch spends most of such a line on memory that it need not touch. Arrays are C-contiguous
float32 unless said otherwise; what a kernel fills is handed in.
"""

import inspect
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch
from numba import njit

Result = TypeVar("Result")
# A part that is smaller takes less time than a thread to wake up.
SMALLEST_PART = 2048


def compiled(kernel: Callable) -> Callable:
    """Return the kernel for the machine at hand, to be compiled once and kept beside its source.

    Where neither that place nor the user's cache may be written, every process compiles anew.
    """
    # Whoever checks shapes wraps functions; numba wants the bare one.
    bare = inspect.unwrap(kernel)
    try:
        return njit(cache=True, nogil=True, error_model="numpy")(bare)
    except RuntimeError:
        return njit(nogil=True, error_model="numpy")(bare)


def in_parts(work: Callable[[slice], Result], count: int, least: int | None = None) -> list[Result]:
    """Return what the work gives for each of a few parts of a range, done at the same time.

    Args:
        work: Takes a part; two parts must not touch the same place.
        count: Length of the range.
        least: Length that every part has where there are several; None is what pays in general.
    """
    number = max(1, min(torch.get_num_threads(), count // (least or SMALLEST_PART)))
    bounds = [count * part // number for part in range(number + 1)]
    parts = [slice(*bounds[part : part + 2]) for part in range(number)]
    if number == 1:
        return [work(parts[0])]
    waiting = [_pool(os.getpid()).submit(work, part) for part in parts[1:]]
    return [work(parts[0]), *(each.result() for each in waiting)]


@cache
def _pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of a process; who was forked has none of its parent's."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1))
