"""python benchmarks/load.py: many visitors at once, on the program as it is shipped.

Thirty visitors hand in two jobs each at the same moment (video only, 8 frames, 8 steps). Meanwhile
one more visitor loads the page and asks how a job stands, again and again. Printed are what was
lost, mixed up or out of order (nothing should be), the answers' times, and the most memory.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from pipelines.jobs.store import JobStore  # noqa: E402
from pipelines.provenance import read_provenance  # noqa: E402

THINGS = ("chair", "tree", "car", "lamp", "boat", "mug", "house", "fish", "star", "cake")
START_SECONDS = 120.0
APP = ("app.py",)


@dataclass(kw_only=True)
class Findings:
    """What a run of the load found."""

    num_jobs: int
    lost: int = 0
    """Jobs that were refused, or did not end as done."""
    mixed_up: int = 0
    """Jobs whose results say that they were made from other words or another seed."""
    out_of_order: int = 0
    """Pairs of neighbours in the queue of which the later began first."""
    twice: int = 0
    """Jobs that were begun more than once."""
    seconds: float = 0.0
    page_ms: list[float] = field(default_factory=list)
    status_ms: list[float] = field(default_factory=list)
    page_mib: float = 0.0
    worker_mib: float = 0.0


def call(url: str, endpoint: str, *values: Any) -> Any:
    """Return the first value of a named endpoint's answer."""
    request = urllib.request.Request(
        f"{url}/gradio_api/run/{endpoint}",
        json.dumps({"data": values}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())["data"][0]


def submit(url: str, prompt: str, seed: int, key: str = "") -> dict[str, Any]:
    """Hand in one quick job."""
    settings = ["embedded", 8, 0, 8, 0, 15, 1024, 20000, True, False]
    return call(url, "submit", prompt, seed, *settings, key)


def put_under_load(
    url: str, store: JobStore, num_visitors: int, jobs_each: int, patience: float
) -> Findings:
    """Return what came of so many visitors with so many jobs each, all at once."""
    findings = Findings(num_jobs=num_visitors * jobs_each)
    begin = time.monotonic()
    over = threading.Event()
    asked: dict[str, tuple[str, int]] = {}

    def visit(visitor: int) -> None:
        key = ""
        for number in range(jobs_each):
            wish = f"a {THINGS[visitor % len(THINGS)]} number {visitor}", number
            try:
                job = submit(url, *wish, key)
            except OSError:
                findings.lost += 1
                continue
            key = job["key"]
            asked[job["job"]] = wish

    watcher = threading.Thread(target=_watch, args=(url, over, findings))
    watcher.start()
    with ThreadPoolExecutor(num_visitors) as visitors:
        list(visitors.map(visit, range(num_visitors)))
    while store.queue() and time.monotonic() - begin < patience:
        time.sleep(0.2)
    over.set()
    watcher.join()
    findings.seconds = time.monotonic() - begin
    _judge(store, asked, findings)
    return findings


def _watch(url: str, over: threading.Event, findings: Findings) -> None:
    mine = submit(url, "a watch", 0)
    while not over.is_set():
        begin = time.monotonic()
        urllib.request.urlopen(url, timeout=60).read()
        findings.page_ms.append(1000 * (time.monotonic() - begin))
        begin = time.monotonic()
        call(url, "status", mine["job"], mine["key"])
        findings.status_ms.append(1000 * (time.monotonic() - begin))
        over.wait(0.1)


def _judge(store: JobStore, asked: dict[str, tuple[str, int]], findings: Findings) -> None:
    with store.reading() as database:
        rows = database.execute("SELECT * FROM jobs ORDER BY place").fetchall()
    started = [row["started"] for row in rows if row["started"] is not None]
    pairs = pairwise(started)
    findings.out_of_order = sum(later < earlier for earlier, later in pairs)
    findings.twice = sum(row["attempts"] > 1 for row in rows)
    for job_id, (prompt, seed) in asked.items():
        job = store.status(job_id)
        if job.state != "done":
            findings.lost += 1
            continue
        made = read_provenance(store.folder(job) / "request.json").request
        findings.mixed_up += (made.prompt, made.seed) != (prompt, seed)


def memory_mib(pid: int) -> float:
    """Return the memory that a process holds now, MiB; 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return 0.0


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken, which a busy machine does not stretch."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    """Return the processes that a process started."""
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()] + [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            if task.name != str(pid)
            for child in (task / "children").read_text().split()
        ]
    except OSError:
        return []


def start_program(
    root: Path, command: Sequence[str] = APP, log: Path | None = None
) -> tuple[subprocess.Popen[bytes], str]:
    """Start the program on a free port and return it with its address once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(root / "served"),
        "LATHE_RUNS": str(root / "runs"),
    }
    program = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=None if log is None else log.open("ab"),
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and program.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).read()
            return program, url
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answered at {url}; the program's status is {program.poll()}")


def _percentiles(values: list[float]) -> str:
    return f"{median(values):.0f} ms median, {quantiles(values, n=20)[-1]:.0f} ms in 95 of 100"


def main() -> None:
    """Run the load and print what was found; `--json` also writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--jobs-each", type=int, default=2)
    parser.add_argument("--patience", type=float, default=3600.0, help="seconds")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        program, url = start_program(Path(folder))
        over = threading.Event()
        peaks = {"page": 0.0, "worker": 0.0}

        def weigh() -> None:
            while not over.wait(0.5):
                peaks["page"] = max(peaks["page"], memory_mib(program.pid))
                workers = [memory_mib(child) for child in children(program.pid)]
                peaks["worker"] = max([peaks["worker"], *workers])

        threading.Thread(target=weigh, daemon=True).start()
        try:
            store = JobStore(Path(folder) / "runs")
            found = put_under_load(url, store, args.visitors, args.jobs_each, args.patience)
        finally:
            over.set()
            program.send_signal(signal.SIGTERM)
            program.wait(60)
    found.page_mib, found.worker_mib = peaks["page"], peaks["worker"]
    print(f"jobs                {found.num_jobs} in {found.seconds:.0f} s")
    print(f"lost or refused     {found.lost}")
    print(f"mixed up            {found.mixed_up}")
    print(f"out of order        {found.out_of_order}")
    print(f"begun twice         {found.twice}")
    print(f"the page            {_percentiles(found.page_ms)}")
    print(f"how a job stands    {_percentiles(found.status_ms)}")
    print(f"most memory, page   {found.page_mib:.0f} MiB")
    print(f"most memory, worker {found.worker_mib:.0f} MiB")
    if args.json:
        args.json.write_text(json.dumps(asdict(found), indent=1) + "\n")


if __name__ == "__main__":
    main()
