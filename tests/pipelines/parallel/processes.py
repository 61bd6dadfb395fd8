"""Several gloo processes on this machine, as torchrun would start them, for a function each."""

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

# The server has imported what is slow, so its forks begin in milliseconds; forks of the test's own
# process would inherit pools of threads that no longer run.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.pipelines.parallel.small_model", "pipelines.parallel.large"])


def run_ranks(
    size: int, folder: Path, function: Callable[..., Any], *arguments: Any, seconds: float = 300.0
) -> list[Any]:
    """Return what `function(*arguments)` returns on each of `size` ranks, in order.

    Raises:
        AssertionError: A rank has failed, or they do not end.
    """
    rendezvous = folder / f"rendezvous-{os.urandom(4).hex()}"
    results = [folder / f"{rendezvous.name}-{rank}.pt" for rank in range(size)]
    processes = [
        CONTEXT.Process(
            target=_run, args=(rank, size, rendezvous, result, function, arguments), daemon=True
        )
        for rank, result in enumerate(results)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(seconds)
        codes = [process.exitcode for process in processes]
        assert codes == [0] * size, f"the ranks ended with {codes}"
    finally:
        for process in processes:
            process.kill()
    return [torch.load(result, weights_only=False) for result in results]


def _run(
    rank: int,
    size: int,
    rendezvous: Path,
    result: Path,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=rendezvous.resolve().as_uri(), rank=rank, world_size=size
    )
    torch.save(function(*arguments), result)
    dist.barrier()
    dist.destroy_process_group()
