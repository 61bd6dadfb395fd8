"""A chain driven from a terminal: one bar a stage on stderr, or one line where that is a file."""

import sys
from collections.abc import Generator
from typing import TypeVar

from tqdm import tqdm

from threed.progress import Progress

Result = TypeVar("Result")


def draw(steps: Generator[Progress, None, Result]) -> Result:
    """Drive a chain to its end and return its result; the chain is closed whatever happens."""
    stream = sys.stderr
    bar: tqdm | None = None
    stage = None
    try:
        while True:
            try:
                progress = next(steps)
            except StopIteration as finished:
                return finished.value
            if progress.stage != stage:
                if bar is not None:
                    bar.close()
                stage = progress.stage
                bar = tqdm(
                    total=progress.num_steps, desc=stage, file=stream, disable=not stream.isatty()
                )
                # The first words of a stage stay on the screen; the bar says the rest.
                bar.write(f"{stage}: {progress.message}", file=stream)
            assert bar is not None
            bar.total, bar.n = progress.num_steps, progress.step
            bar.refresh()
    finally:
        if bar is not None:
            bar.close()
        steps.close()
