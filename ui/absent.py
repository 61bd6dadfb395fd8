"""Optional packages left aside while others are imported."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """Within it, packages that nobody has imported yet are as if they were not installed."""
    held = [name for name in names if name not in sys.modules]
    # What Python's import system takes for a module that is not there.
    sys.modules.update(dict.fromkeys(held))  # pyright: ignore[reportArgumentType, reportCallIssue]
    try:
        yield
    finally:
        for name in held:
            del sys.modules[name]
