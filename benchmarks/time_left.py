"""python benchmarks/time_left.py: how true the time is that the page says is left.

The program as it is shipped, on a fresh store: so the first job meets an estimator that knows
nothing of this machine. A few jobs of different settings run one after another, the last of them a
clip (the video of the first, handed in), each watched through the endpoint `status`. Printed is, at
10, 25, 50 and 75 percent of the time that each took, by how much what was said to be left missed
what was left. `--json` keeps every look, and `--replay` lets the present estimator say what it
would have said to those.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import call, start_program
from pipelines.hashing import file_sha256
from pipelines.jobs.estimate import seconds_left
from pipelines.jobs.records import Job
from pipelines.jobs.store import JobStore
from pipelines.request import GenerationRequest
from threed.progress import Stage

MOMENTS = (0.1, 0.25, 0.5, 0.75)
PROMPT = "a snowy pine tree"
JOBS: tuple[dict[str, Any], ...] = (
    {},
    {"video_only": True},
    {"seed": 1, "texture_size": 2048, "distil": False},
    {"seed": 2, "num_frames": 12},
    {"clip": "the first job's video"},
)
PATIENCE = 1800.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """One look at a running job."""

    now: float
    """Seconds since the epoch, as all times here."""
    stage: Stage | None
    stage_started: float | None
    step: int
    num_steps: int
    spent: dict[Stage, float]
    said: float
    """Seconds that were said to be left."""


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One job from its start to its end."""

    request: str
    started: float
    finished: float
    measured: dict[Stage, list[float]]
    """What was known of the machine then."""
    looks: list[Look]

    def said_at(self, moment: float) -> tuple[float, float]:
        """Return what was said to be left at a share of the whole time, and what was."""
        now = self.started + moment * (self.finished - self.started)
        look = min(self.looks, key=lambda look: abs(look.now - now))
        return look.said, self.finished - look.now


def hand_in(
    url: str, store: JobStore, wish: dict[str, Any], before: list[dict[str, Any]]
) -> dict[str, Any]:
    """Hand a job in, after those before it, and return its id and key."""
    if "clip" in wish:
        first = store.status(before[0]["job"])
        clip = store.folder(first) / "orbit.mp4"
        request = GenerationRequest(prompt="a clip", clip=file_sha256(clip), distil=False)
        return {"job": store.submit(request, first.session, clip), "key": first.session}
    request = GenerationRequest(prompt=PROMPT, **wish)
    values = [PROMPT, request.seed, "embedded", request.num_frames, 0, 0, 0, 15]
    values += [request.texture_size, request.max_faces, request.video_only, request.distil]
    return call(url, "submit", *values)


def watch(url: str, store: JobStore, handed: dict[str, Any]) -> Trace:
    """Return what was said of a job until it was done."""
    measured = store.stage_seconds()
    looks, deadline = [], time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        job = store.status(handed["job"])
        if not job.is_live:
            break
        if job.state == "running":
            said = call(url, "status", handed["job"], handed["key"])["seconds_left"]
            if said is not None:
                looks.append(_look(job, said))
        time.sleep(0.25)
    assert job.started is not None and job.finished is not None and job.state == "done", job
    return Trace(
        request=job.request.to_json(),
        started=job.started,
        finished=job.finished,
        measured=measured,
        looks=looks,
    )


def _look(job: Job, said: float) -> Look:
    return Look(
        now=time.time(),
        stage=job.stage,
        stage_started=job.stage_started,
        step=job.step,
        num_steps=job.num_steps,
        spent=dict(job.spent),
        said=said,
    )


def replayed(trace: Trace) -> Trace:
    """Return a trace with what the present estimator would have said."""
    looks = [
        Look(**{**asdict(look), "said": seconds_left(_job(trace, look), trace.measured, look.now)})
        for look in trace.looks
    ]
    return Trace(**{**vars(trace), "looks": looks})


def _job(trace: Trace, look: Look) -> Job:
    return Job(
        id="",
        session="",
        request=GenerationRequest.from_json(trace.request),
        state="running",
        num_ahead=0,
        started=trace.started,
        finished=None,
        stage=look.stage,
        stage_started=look.stage_started,
        step=look.step,
        num_steps=look.num_steps,
        message="",
        cancelling=False,
        known=None,
        previews={},
        spent=look.spent,
    )


def show(traces: list[Trace]) -> None:
    """Print a line a job."""
    print(f"{'job':44} {'took':>6}  " + "".join(f"{f'at {m:.0%}':>22}" for m in MOMENTS))
    for number, trace in enumerate(traces, start=1):
        request = GenerationRequest.from_json(trace.request)
        words = "video" if request.video_only else "video and mesh"
        words = "mesh of a clip" if request.clip else words
        words += f", {request.num_frames} frames, texture {request.texture_size}"
        words += "" if request.distil or request.video_only else ", not refined"
        cells = ""
        for moment in MOMENTS:
            said, left = trace.said_at(moment)
            cells += f"{f'{said:.0f} s of {left:.0f} ({said / left - 1:+.0%})':>22}"
        print(f"{number} {words:42} {trace.finished - trace.started:4.0f} s  {cells}")


def main() -> None:
    """Watch and print; `--json` keeps the looks, `--replay` takes them in place of a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=len(JOBS))
    parser.add_argument("--json", type=Path)
    parser.add_argument("--replay", type=Path)
    args = parser.parse_args()
    if args.replay:
        kept = json.loads(args.replay.read_text())
        traces = [Trace(**{**it, "looks": [Look(**look) for look in it["looks"]]}) for it in kept]
        show([replayed(trace) for trace in traces])
        return
    traces = []
    with tempfile.TemporaryDirectory() as folder:
        program, url = start_program(Path(folder))
        try:
            store = JobStore(Path(folder) / "runs")
            handed: list[dict[str, Any]] = []
            for wish in JOBS[: args.jobs]:
                handed.append(hand_in(url, store, wish, handed))
                traces.append(watch(url, store, handed[-1]))
                if args.json:
                    args.json.write_text(json.dumps([asdict(trace) for trace in traces]) + "\n")
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)
    show(traces)


if __name__ == "__main__":
    main()
