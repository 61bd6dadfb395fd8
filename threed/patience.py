"""Long steps of an iterator, waited for in short ones."""

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")
SECONDS = 0.5
"""Between two signs of life."""
PARTING_SECONDS = 1.0
"""How long a step that nobody wants any more is waited for."""


@dataclass(frozen=True, kw_only=True)
class _End(Generic[Item]):
    """What came of one step, or how the iterator ended."""

    item: Item | None = None
    error: BaseException | None = None


def patiently(items: Iterator[Item]) -> Generator[Item | None, None, None]:
    """Yield what an iterator yields, and None about every half second while a step takes longer.

    The iterator works in a thread of its own, a step at a time and only when it is asked. Closing
    the generator does not wait for a long step: that ends by itself and is the last one.
    """
    wanted, done = queue.SimpleQueue[bool](), queue.SimpleQueue[_End[Item]]()

    def work() -> None:
        while wanted.get():
            try:
                done.put(_End(item=next(items)))
            except BaseException as error:
                done.put(_End(error=error))
                return

    # No daemon: an interpreter that ends while a network computes is aborted, so it waits instead.
    worker = threading.Thread(target=work)
    worker.start()
    try:
        while True:
            wanted.put(True)
            while True:
                try:
                    end = done.get(timeout=SECONDS)
                    break
                except queue.Empty:
                    yield None
            if isinstance(end.error, StopIteration):
                return
            if end.error is not None:
                raise end.error
            yield end.item
    finally:
        wanted.put(False)
        worker.join(timeout=PARTING_SECONDS)


def awaited(work: Callable[[], Item]) -> Generator[None, None, Item]:
    """Yield about every half second until one piece of work is done, and return what came of it.

    It is done in a thread of its own, as `patiently` does it, and must not return None.
    """
    for result in patiently(work() for _ in range(1)):
        if result is not None:
            return result
        yield
    raise AssertionError("what is done once gives one result")
