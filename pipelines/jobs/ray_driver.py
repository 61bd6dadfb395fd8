"""The process of the executor `ray` that alone touches the store, and drives the actors.

    python -m pipelines.jobs.ray_driver RUNS_FOLDER

The page's process starts it as it would a worker, and holds the other end of its standard input:
when that closes, the page is gone and the driver ends too, with its actors, and with its cluster
where it made one. It is a process of its own so that a fault of Ray's never takes the page down.
"""

import argparse
import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipelines.jobs.heartbeat import new_worker_name
from pipelines.jobs.logs import hide_keys
from pipelines.jobs.ray_cluster import RayConfig, connect
from pipelines.jobs.store import JobStore, QueueLimits
from pipelines.jobs.worker import Chain


def main(make_chain: Callable[[], Chain] | None = None) -> None:
    """Run the driver on the folder that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.jobs.ray_driver")
    parser.add_argument("runs", type=Path, help="the folder of the jobs' store")
    parser.add_argument(
        "--name", default=new_worker_name(), help="what its workers' names begin with"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="ray driver: %(message)s")
    hide_keys()
    store = JobStore(arguments.runs, QueueLimits.from_environment())
    threading.Thread(target=_end_with_the_page, args=(store, arguments.name), daemon=True).start()
    config = RayConfig.from_environment()
    connect(config)
    # Only now, for what Ray reads from the environment is set by `connect`.
    from pipelines.jobs.ray_actor import model_chain
    from pipelines.jobs.ray_fleet import Fleet

    Fleet(store, arguments.name, make_chain or model_chain, config.cpus_per_worker).work()


def _end_with_the_page(store: JobStore, name: str) -> None:
    """End this process, and the cluster that it made, when standard input closes."""
    # Not through Python's own file, whose lock would spoil the end of a process that fails.
    while os.read(0, 4096):
        pass
    # So that the next start need not wait until the leases run out.
    with suppress(sqlite3.Error):
        store.release(name, died=False)
    if os.getpgid(0) == os.getpid():
        # Ray's processes are of this group, and not all of them notice that its head is gone.
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
