"""What torchrun tells a process in its environment. Importing this loads no torch."""

import os


def launched_size() -> int:
    """Return how many processes torchrun has started for this run; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launched_rank() -> int:
    """Return this process's number among all of them; 0 leads."""
    return int(os.environ.get("RANK", "0"))


def local_rank() -> int:
    """Return this process's number among those of its machine."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def local_size() -> int:
    """Return how many of the processes this machine runs."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
