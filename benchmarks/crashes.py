"""python benchmarks/crashes.py: what becomes of jobs when something breaks under them.

The program as it is shipped, with small settings, on a small disk of its own: the worker is killed
in each stage, before the first and between two jobs, and again and again; the page is killed, with
its worker and without, and told to end; the disk is full as a job is handed in, as its video is to
be kept and as its mesh is; the jobs' store is locked at its beginning, in its middle and at its
end. A line says how the job ended, how often it was taken up, and which of its whole stages were
made more than once, which none should be.

The disk is a tmpfs in a mount namespace of its own, so Linux must let this program have one.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.breaking import (
    LOCKED_SECONDS,
    Finding,
    Program,
    fill_disk_in,
    follow,
    full_disk,
    kill_every_worker,
    kill_worker_in,
    lock_in,
    locked_store,
    restart_in,
    wait_for_stage,
)

DISK_MIB = 160


def restart_locked(program: Program, job_id: str) -> None:
    """Kill all in the video, and start it again while the store is locked."""
    wait_for_stage(program.store, job_id, "video")
    program.kill(worker_too=True)
    with locked_store(program.root):
        program.start()
        time.sleep(LOCKED_SECONDS)


def killed_workers(program: Program) -> Iterator[Finding]:
    """Kill the worker: in each stage, two of them a job; between jobs; whenever it works."""
    yield follow(
        program, "worker killed before the first stage, and in video", kill_worker_in(None, "video")
    )
    field = kill_worker_in("field", "distillation")
    yield follow(program, "worker killed in field, and in distillation", field, distil=True)
    yield follow(program, "worker killed in mesh, in texture", kill_worker_in("mesh", "texture"))
    drawing = kill_worker_in("redraw", "report")
    yield follow(program, "worker killed in redraw, in report", drawing)
    program.kill_worker()
    yield follow(program, "worker killed between jobs", lambda *_: None, video_only=True)
    yield follow(
        program,
        "worker killed whenever it takes the job up",
        kill_every_worker,
        may_fail=True,
        video_only=True,
    )


def ended_pages(program: Program) -> Iterator[Finding]:
    """End the page in the middle of a job, in three ways, and start it again."""

    def kill_page(program: Program) -> None:
        program.kill(worker_too=False)

    def kill_both(program: Program) -> None:
        program.kill(worker_too=True)

    yield follow(program, "page killed in field, restarted", restart_in("field", kill_page))
    yield follow(
        program, "page and worker killed in mesh, restarted", restart_in("mesh", kill_both)
    )
    yield follow(
        program, "page told to end in texture, restarted", restart_in("texture", Program.end)
    )


def full_disks(program: Program) -> Iterator[Finding]:
    """Fill the disk as a job is handed in, before its video is kept, and before its mesh is."""
    with full_disk(program.root):
        words = program.refusal()
    yield Finding(done_to_it="disk full as a job is handed in", ended=words, as_hoped=bool(words))
    for stage in ("video", "texture"):
        words = f"disk full from {stage} on, room when it failed"
        deed = fill_disk_in(stage)
        yield follow(program, words, deed, may_fail=True, video_only=stage == "video")


def locked_stores(program: Program) -> Iterator[Finding]:
    """Lock the store for longer than any writer waits."""
    with locked_store(program.root):
        words = program.refusal()
    yield Finding(
        done_to_it="store locked as a job is handed in", ended=words, as_hoped=bool(words)
    )
    for stage in ("video", "report"):
        words = f"store locked from {stage} on for {LOCKED_SECONDS:.0f} s"
        yield follow(program, words, lock_in(stage), video_only=stage == "video")
    words = "all killed in video, restarted with a locked store"
    yield follow(program, words, restart_locked, video_only=True)


TRIALS = {
    "workers": killed_workers,
    "pages": ended_pages,
    "disks": full_disks,
    "locks": locked_stores,
}


def inside_small_disk(folder: Path, command: Sequence[str]) -> list[str]:
    """Return what runs a command with a small disk at a folder, which nobody else sees."""
    script = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "$0" && exec "$@"'
    alone = ["unshare", "--map-root-user", "--mount"]
    return [*alone, "sh", "-c", script, str(folder), *command]


def on_small_disk(arguments: Sequence[str]) -> int:
    """Run this program again with a small disk of its own; return its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, *arguments, "--disk", folder]
        return subprocess.run(inside_small_disk(Path(folder), command)).returncode


def show(finding: Finding) -> None:
    """Print one line."""
    print(
        f"{'ok ' if finding.as_hoped else 'NOT'} {finding.done_to_it:52} "
        f"{finding.seconds:6.0f} s  taken up {finding.taken_up}  {finding.ended}"
        + (f"  made again: {', '.join(finding.made_again)}" if finding.made_again else ""),
        flush=True,
    )


def main() -> None:
    """Break things and print; the exit status is 1 where a job did not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trials", nargs="*", default=[*TRIALS], help=f"of {', '.join(TRIALS)}")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--log", type=Path, help="what the program says while it is broken")
    parser.add_argument("--disk", type=Path, help="where the runs lie; a new small disk unless set")
    args = parser.parse_args()
    if args.disk is None:
        sys.exit(on_small_disk(sys.argv[1:]))
    findings: list[Finding] = []
    program = Program(args.disk, log=args.log)
    try:
        for name in args.trials:
            for finding in TRIALS[name](program):
                findings.append(finding)
                show(finding)
    finally:
        program.end()
    if args.json:
        args.json.write_text(json.dumps([asdict(it) for it in findings], indent=1) + "\n")
    sys.exit(not all(finding.as_hoped for finding in findings))


if __name__ == "__main__":
    main()
