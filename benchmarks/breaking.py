"""Ways to break a running program, and what becomes of the job that it had then."""

import json
import os
import signal
import sqlite3
import threading
import time
import urllib.error
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load import APP, call, children, start_program
from pipelines.jobs.database import FILE_NAME
from pipelines.jobs.store import JobStore
from threed.progress import Stage

LOCKED_SECONDS = 8.0
"""Longer than any writer waits for another."""
FULL_SECONDS = 600.0
PATIENCE = 1800.0
PROMPT = "a snowy pine tree"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How a job that something was done to ended."""

    done_to_it: str
    ended: str
    """Its state, with the words for its visitor where it failed; or why it was refused."""
    as_hoped: bool
    seconds: float = 0.0
    taken_up: int = 0
    """How often a worker began or went on with it."""
    made_again: Sequence[str] = ()
    """Whole stages that were made more than once."""


class Program:
    """The page and its worker as they are shipped, which can be killed and started again."""

    def __init__(
        self,
        root: Path,
        command: Sequence[str] = APP,
        prompt: str = PROMPT,
        log: Path | None = None,
    ) -> None:
        self.root, self.command, self.prompt, self.log = root, command, prompt, log
        self.start()
        self.store = JobStore(root / "runs")

    def start(self) -> None:
        """Start it, and again on the same folders; return once it answers."""
        self.process, self.url = start_program(self.root, self.command, self.log)

    def end(self) -> None:
        """Tell the page to end, as a host does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)

    def kill(self, *, worker_too: bool) -> None:
        """Kill the page, and in the same moment its worker or not."""
        workers = children(self.process.pid) if worker_too else []
        for pid in (self.process.pid, *workers):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def kill_worker(self) -> None:
        """Kill the worker, once there is one."""
        wait_for(lambda: children(self.process.pid))
        for pid in children(self.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def submit(self, *, video_only: bool = False, distil: bool = False) -> dict[str, Any]:
        """Hand in a small job and return its standing."""
        small = [8, 0, 2, 0, 15, 512, 1000]
        return call(self.url, "submit", self.prompt, 7, "embedded", *small, video_only, distil)

    def refusal(self) -> str:
        """Return with what words a job is refused; none where it was taken."""
        try:
            self.submit(video_only=True)
        except urllib.error.HTTPError as error:
            return f"refused ({error.code}): {json.loads(error.read())['error']}"
        return ""


class Watch:
    """Counts how often each whole stage of a job is made, by the marks that they leave."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".stages"
        self.seen: set[tuple[str, int, int]] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def made_again(self) -> list[str]:
        """Return the stages that were made more than once so far, and look no longer."""
        self._over.set()
        self._thread.join()
        names = [name for name, _, _ in self.seen]
        return sorted({name for name in names if names.count(name) > 1})

    def _look(self) -> None:
        while not self._over.wait(0.01):
            for mark in self.folder.glob("*.done.json"):
                with suppress(OSError):
                    about = mark.stat()
                    self.seen.add((mark.name.split(".")[0], about.st_ino, about.st_mtime_ns))


def wait_for(condition: Callable[[], Any]) -> None:
    """Return once a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("what was waited for never came")
        time.sleep(0.01)


def wait_for_stage(store: JobStore, job_id: str, stage: Stage | None) -> None:
    """Return once a job is at work in a stage; None is before the first."""

    def is_there() -> bool:
        job = store.status(job_id)
        if not job.is_live:
            raise TimeoutError(f"the job is {job.state} and was never seen in {stage}")
        return job.state == "running" and job.stage == stage

    wait_for(is_there)


@contextmanager
def full_disk(root: Path) -> Iterator[None]:
    """Leave no room on the disk that holds a folder."""
    ballast = root / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while file.write(b"\1" * size):
                    pass
    try:
        yield
    finally:
        ballast.unlink()


@contextmanager
def locked_store(root: Path) -> Iterator[None]:
    """Let nobody else write to the jobs' store."""
    holder = sqlite3.connect(root / "runs" / FILE_NAME, isolation_level=None, timeout=60.0)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


Deed = Callable[[Program, str], None]
"""Is done to a program while it has a job of this id."""


def follow(
    program: Program,
    done_to_it: str,
    deed: Deed,
    *,
    may_fail: bool = False,
    video_only: bool = False,
    distil: bool = False,
) -> Finding:
    """Hand in a job, do something to it, and return what became of it.

    Args:
        program: What runs it.
        done_to_it: The deed in words.
        deed: What is done once the job is handed in.
        may_fail: It may end as failed, with a reason, if it is done when it is asked for again.
        video_only: Whether only a video is asked for.
        distil: Whether the field is refined.
    """
    begin = time.monotonic()
    handed = program.submit(video_only=video_only, distil=distil)
    store, job_id = program.store, handed["job"]
    watch = Watch(store.folder(store.status(job_id)))
    deed(program, job_id)
    wait_for(lambda: not store.status(job_id).is_live)
    job = store.status(job_id)
    ended = job.state
    if may_fail and job.state == "failed" and job.message:
        call(program.url, "resume", job_id, handed["key"])
        wait_for(lambda: not store.status(job_id).is_live)
        ended = f"failed: {job.message} Tried again: {store.status(job_id).state}"
    made_again = watch.made_again()
    with store.reading() as database:
        row = database.execute("SELECT attempts FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return Finding(
        done_to_it=done_to_it,
        ended=ended,
        as_hoped=store.status(job_id).state == "done" and not made_again,
        seconds=time.monotonic() - begin,
        taken_up=row["attempts"],
        made_again=made_again,
    )


def kill_worker_in(*stages: Stage | None) -> Deed:
    """Return the deed that kills the worker in each of these stages; None is before the first."""

    def deed(program: Program, job_id: str) -> None:
        for stage in stages:
            wait_for_stage(program.store, job_id, stage)
            program.kill_worker()
            wait_for(lambda: program.store.status(job_id).state == "queued")

    return deed


def kill_every_worker(program: Program, job_id: str) -> None:
    """Kill each worker that takes the job up, until it is given up."""
    while program.store.status(job_id).is_live:
        if program.store.status(job_id).state == "running":
            program.kill_worker()
        time.sleep(0.1)


def restart_in(stage: Stage, end: Callable[[Program], None]) -> Deed:
    """Return the deed that ends the program in a stage and starts it again."""

    def deed(program: Program, job_id: str) -> None:
        wait_for_stage(program.store, job_id, stage)
        end(program)
        program.start()

    return deed


def fill_disk_in(stage: Stage, seconds: float = FULL_SECONDS) -> Deed:
    """Return the deed that leaves no room on the disk from a stage on, until the job has ended.

    At the longest for so many seconds; meanwhile the page must say how the job stands.
    """

    def deed(program: Program, job_id: str) -> None:
        wait_for_stage(program.store, job_id, stage)
        key = program.store.status(job_id).session
        deadline = time.monotonic() + seconds
        with full_disk(program.root):
            while program.store.status(job_id).is_live and time.monotonic() < deadline:
                call(program.url, "result", job_id, key)
                time.sleep(0.2)

    return deed


def lock_in(stage: Stage, seconds: float = LOCKED_SECONDS) -> Deed:
    """Return the deed that locks the store for a while, from a stage on."""

    def deed(program: Program, job_id: str) -> None:
        wait_for_stage(program.store, job_id, stage)
        with locked_store(program.root):
            time.sleep(seconds)

    return deed
