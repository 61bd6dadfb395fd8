"""How much of a run is behind it and how long the rest takes, from how long its stages took."""

from collections.abc import Sequence
from statistics import median

from pipelines.jobs.records import Job
from pipelines.models.catalogue import redraws
from pipelines.request import GenerationRequest
from threed.progress import STAGES, Stage

TYPICAL_SECONDS: dict[Stage, float] = {
    "video": 5.0,
    "field": 15.0,
    "distillation": 6.0,
    "redraw": 2.6,
    "mesh": 1.0,
    "texture": 2.4,
    "report": 1.5,
}
"""Believed of a machine that has finished no run yet; a job's first stages soon say how far from
the truth that is, for what counts is how the stages compare."""
KNOWN_SECONDS, UNKNOWN_SECONDS = 6.0, 0.9
"""For how long a job must run until its own pace counts as much as what is believed of the machine,
where it has finished runs and where it has not."""
PACE_SHARE = 0.15
"""The share of a stage after which its own pace counts as much as what was believed of it."""
MARKS: dict[Stage, tuple[float, ...]] = {"mesh": (0.0, 0.25, 1.0), "texture": (0.0, 0.5, 0.98, 1.0)}
"""The share of its time that lies behind each step of a stage whose few steps are unlike."""
USUAL_FRAMES, USUAL_STEPS, USUAL_TEXTURE, USUAL_FACES = 24, 8, 1024, 20_000
FILMED: dict[Stage, float] = {"video": 2.0, "field": 1.5}
"""What a clip of somebody's own costs in such stages: finding its cameras took as long as a drawing
or up to three times that, and frames with their light in them took a third longer to fit."""


def planned_stages(job: Job) -> tuple[Stage, ...]:
    """Return the stages that are still to be run for a job when it is taken up, in order."""
    stages = requested_stages(job.request)
    return tuple(stage for stage in stages if stage != "video" or not job.continued)


def requested_stages(request: GenerationRequest) -> tuple[Stage, ...]:
    """Return the stages that a request asks for, in order."""
    if request.video_only:
        return ("video",)
    # No model draws a clip of somebody's own, so none refines it; and views that a picture does
    # not show would be refined by words that may be no more than a file's name.
    distil = request.distil and request.upload_name is None
    left_out = {"distillation": not distil, "redraw": not redraws(request)}
    return tuple(stage for stage in STAGES if not left_out.get(stage, False))


def relative_work(request: GenerationRequest) -> dict[Stage, float]:
    """Return what each stage of a request costs, in such stages with the usual settings."""
    frames = request.num_frames / USUAL_FRAMES
    steps = (request.num_steps or USUAL_STEPS) / USUAL_STEPS
    texels = (request.texture_size / USUAL_TEXTURE) ** 2
    filmed = FILMED if request.clip is not None else {}
    return {
        "video": filmed.get("video", 0.2 + 0.8 * frames * steps),
        "field": filmed.get("field", 1.0),
        "distillation": 0.5 + 0.5 * frames,
        "redraw": 0.2 + 0.8 * frames,
        "mesh": 0.4 + 0.6 * request.max_faces / USUAL_FACES,
        "texture": 0.5 + 0.5 * texels,
        "report": 1.0,
    }


def expected_seconds(
    request: GenerationRequest,
    measured: dict[Stage, list[float]],
    stages: Sequence[Stage] | None = None,
) -> float:
    """Return how long a request, or some stages of it, will take once it is taken up."""
    usual = _usual(request, measured)
    return sum(usual[stage] for stage in stages or requested_stages(request))


def seconds_until_start(
    ahead: Sequence[Job], measured: dict[Stage, list[float]], now: float, num_workers: int = 1
) -> float:
    """Return an estimate of the seconds until what waits behind these jobs is taken up.

    Args:
        ahead: Jobs that run or wait before it, in the order of the queue.
        measured: Durations of each stage in earlier runs, seconds.
        now: Seconds since the epoch.
        num_workers: Workers that take from the queue; none counts as one that will come.
    """
    free_at = [0.0] * max(1, num_workers)
    for job in ahead:
        if job.state == "running":
            seconds = seconds_left(job, measured, now)
        else:
            seconds = expected_seconds(job.request, measured, planned_stages(job))
        # Each goes to the worker that is free first.
        soonest = free_at.index(min(free_at))
        free_at[soonest] += seconds
    return min(free_at)


def seconds_left(job: Job, measured: dict[Stage, list[float]], now: float) -> float:
    """Return an estimate of the seconds until a running job ends.

    Args:
        job: A job that runs.
        measured: Durations of each stage in earlier runs, seconds.
        now: Seconds since the epoch.

    Returns:
        The later stages' usual durations, stretched as what lies behind was; and of the stage at
        work what its own pace says, the more so the further it is, and before its first step what
        is left of its usual duration.
    """
    usual = _usual(job.request, measured)
    stages = planned_stages(job)
    if job.stage not in stages or job.stage_started is None:
        return sum(usual[stage] for stage in stages)
    believed = KNOWN_SECONDS if measured else UNKNOWN_SECONDS
    took = sum(seconds for stage, seconds in job.spent.items() if stage in usual)
    expected = sum(usual[stage] for stage in job.spent if stage in usual)
    elapsed, done = max(0.0, now - job.stage_started), _share(job)
    whole = usual[job.stage] * (took + believed) / (expected + believed)
    # One that has taken longer than it should is seldom just about to end.
    by_usage = max(whole - elapsed, 0.2 * elapsed * (1 - done))
    left = by_usage
    if done > 0:
        by_pace = elapsed * (1 - done) / done
        trust = done / (done + PACE_SHARE)
        left = trust * by_pace + (1 - trust) * by_usage
    if done > 0:
        took, expected = took + elapsed, expected + done * usual[job.stage]
    elif elapsed > whole:
        took, expected = took + elapsed, expected + usual[job.stage]
    stretch = (took + believed) / (expected + believed)
    later = sum(usual[stage] for stage in stages[stages.index(job.stage) + 1 :])
    return left + later * stretch


def fraction_done(job: Job, measured: dict[Stage, list[float]]) -> float:
    """Return how much of a job's expected work is done, in [0, 1]; it never runs backwards."""
    usual = _usual(job.request, measured)
    stages = planned_stages(job)
    if job.state == "done":
        return 1.0
    if job.stage not in stages:
        return 0.0
    before = sum(usual[stage] for stage in stages[: stages.index(job.stage)])
    return (before + usual[job.stage] * _share(job)) / sum(usual[stage] for stage in stages)


def _share(job: Job) -> float:
    """Return how much of its stage's time a job has behind it, as its steps say."""
    marks = MARKS.get(job.stage or "video", ())
    if len(marks) == job.num_steps + 1:
        return marks[job.step]
    return job.step / max(job.num_steps, 1)


def _usual(request: GenerationRequest, measured: dict[Stage, list[float]]) -> dict[Stage, float]:
    """Return how long each stage of a request usually takes here."""
    known: dict[Stage, float] = {
        stage: median(measured[stage]) for stage in STAGES if measured.get(stage)
    }
    # A machine that is slow in one thing is believed to be slow in the others.
    typical = sum(TYPICAL_SECONDS[stage] for stage in known)
    stretch = sum(known.values()) / typical if typical else 1.0
    work = relative_work(request)
    return {
        stage: work[stage] * known.get(stage, stretch * seconds)
        for stage, seconds in TYPICAL_SECONDS.items()
    }
