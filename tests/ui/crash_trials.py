"""What `benchmarks/crashes.py` does, in small: the real page, and a worker that only walks.

    python -m tests.ui.crash_trials DISK

DISK is an empty folder on a small disk of its own. Printed are the findings as JSON.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from benchmarks.breaking import (
    Finding,
    Program,
    fill_disk_in,
    follow,
    full_disk,
    restart_in,
)

COMMAND = ("-m", "tests.browser.serve", "tests.pipelines.clockwork")


def trials(program: Program) -> Iterator[Finding]:
    """Break one thing after another."""

    def kill_page(program: Program) -> None:
        program.kill(worker_too=False)

    yield follow(program, "page killed", restart_in("mesh", kill_page))
    yield follow(program, "disk full", fill_disk_in("field"), may_fail=True)
    with full_disk(program.root):
        words = program.refusal()
        yield Finding(done_to_it="refused", ended=words, as_hoped="disk may be full" in words)


if __name__ == "__main__":
    program = Program(Path(sys.argv[1]), COMMAND, prompt="walk 8")
    try:
        print(json.dumps([asdict(finding) for finding in trials(program)]))
    finally:
        program.end()
