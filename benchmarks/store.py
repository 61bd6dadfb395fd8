"""python benchmarks/store.py: what one SQLite store costs as workers and jobs grow.

For each number of workers, as many jobs run and as many wait. One process, as the driver of many
workers is, then does what a job needs of the store: hands it in, claims it, tells steps with a
picture, renews leases, reads all orders at once, ends it; and what a visitor's page asks once a
second. Printed are milliseconds of processor time a call, which another program on the machine does
not change, and from them the part of one core that so many workers take.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipelines.jobs.leases import BEAT_SECONDS  # noqa: E402
from pipelines.jobs.records import Job, QueueLimits  # noqa: E402
from pipelines.jobs.store import JobStore, new_session  # noqa: E402
from pipelines.request import GenerationRequest  # noqa: E402
from threed.progress import Progress  # noqa: E402

PICTURE = bytes(range(256)) * 80
"""As large as a contact sheet usually is, 20 kB."""
TELLS_A_SECOND, ORDERS_A_SECOND, LOOKS_A_SECOND = 1.0, 5.0, 1.0
"""A running job's steps with pictures; reads of all orders; a visitor's page, for each job."""
CALLS = 200


@dataclass(frozen=True, kw_only=True)
class Row:
    """Milliseconds of processor time a call, with so many workers."""

    workers: int
    submit: float
    claim: float
    publish: float
    beat: float
    orders: float
    status: float
    finish: float
    cores: float
    """Of one core, what the workers and a visitor a job take while they run."""


def cost(action: Callable[[int], object], calls: int = CALLS) -> float:
    """Return the milliseconds of processor time of a call."""
    before = time.process_time()
    for number in range(calls):
        action(number)
    return 1000 * (time.process_time() - before) / calls


def measure(workers: int, root: Path) -> Row:
    """Fill a store with running and waiting jobs and time each call on it."""
    limits = QueueLimits(in_all=10 * workers + 10 * CALLS, per_hour=10 * workers + 10 * CALLS)
    store = JobStore(root, limits)
    jobs: list[Job] = []

    def submit(_: int = 0) -> str:
        return store.submit(GenerationRequest(prompt="a wooden chair"), new_session())

    def claim(number: int) -> None:
        job = store.claim(f"driver/{number}")
        assert job is not None
        jobs.append(job)

    def tell(number: int) -> None:
        job = jobs[number % len(jobs)]
        step = Progress(stage="video", step=number % 9, num_steps=9, message="drawing")
        store.publish(job.id, step, PICTURE, job.lease)

    for number in range(workers):
        submit()
        claim(number)
    submitted = cost(submit, max(CALLS, workers))
    claimed = cost(lambda number: claim(workers + number), 50)
    told = cost(tell)
    beaten = cost(lambda number: store.beat(f"driver/{number % workers}"))
    ordered = cost(lambda _: store.orders(), 20)
    looked = cost(lambda number: store.status(jobs[number % len(jobs)].id))
    ended = cost(lambda number: store.finish(jobs[number].id, "done", "", jobs[number].lease), 40)
    busy = workers * (TELLS_A_SECOND * told + LOOKS_A_SECOND * looked + beaten / BEAT_SECONDS)
    return Row(
        workers=workers,
        submit=submitted,
        claim=claimed,
        publish=told,
        beat=beaten,
        orders=ordered,
        status=looked,
        finish=ended,
        cores=(busy + ORDERS_A_SECOND * ordered) / 1000,
    )


def main() -> None:
    """Print a line a number of workers; `--json` also writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    names = [name for name in Row.__dataclass_fields__ if name != "workers"]
    print("workers " + " ".join(f"{name:>8}" for name in names))
    for workers in args.workers:
        with tempfile.TemporaryDirectory() as folder:
            row = measure(workers, Path(folder))
        rows.append(asdict(row))
        values = " ".join(f"{getattr(row, name):8.3f}" for name in names)
        print(f"{workers:7} {values}", flush=True)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
