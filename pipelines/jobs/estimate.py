"""How much of a run is behind it and how long the rest takes, from how long its stages took."""

from collections.abc import Sequence
from statistics import median

from pipelines.jobs.records import Job
from pipelines.request import GenerationRequest
from threed.progress import STAGES, Stage

TYPICAL_SECONDS: dict[Stage, float] = {
    "video": 15.0,
    "field": 45.0,
    "distillation": 30.0,
    "mesh": 8.0,
    "texture": 10.0,
    "report": 5.0,
}
"""Believed of a machine that has finished no run yet."""


def planned_stages(job: Job) -> tuple[Stage, ...]:
    """Return the stages that are still to be run for a job when it is taken up, in order."""
    stages = requested_stages(job.request)
    return tuple(stage for stage in stages if stage != "video" or not job.continued)


def requested_stages(request: GenerationRequest) -> tuple[Stage, ...]:
    """Return the stages that a request asks for, in order."""
    if request.video_only:
        return ("video",)
    # No model draws a clip of somebody's own, so none refines it.
    distil = request.distil and request.clip is None
    return tuple(stage for stage in STAGES if stage != "distillation" or distil)


def expected_seconds(request: GenerationRequest, measured: dict[Stage, list[float]]) -> float:
    """Return how long a request will take once it is taken up."""
    return sum(_usual(stage, measured) for stage in requested_stages(request))


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
            seconds = sum(_usual(stage, measured) for stage in planned_stages(job))
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
        The later stages' usual durations, and of the stage at work what its own pace says, the
        more so the further it is; before its first step, what is left of its usual duration.
    """
    usual = {stage: _usual(stage, measured) for stage in STAGES}
    stages = planned_stages(job)
    if job.stage not in stages or job.stage_started is None:
        return sum(usual[stage] for stage in stages)
    later = sum(usual[stage] for stage in stages[stages.index(job.stage) + 1 :])
    elapsed = max(0.0, now - job.stage_started)
    by_usage = max(0.0, usual[job.stage] - elapsed)
    if job.step == 0:
        return later + by_usage
    done = job.step / job.num_steps
    by_pace = elapsed * (1 - done) / done
    return later + done * by_pace + (1 - done) * by_usage


def fraction_done(job: Job, measured: dict[Stage, list[float]]) -> float:
    """Return how much of a job's expected work is done, in [0, 1]; it never runs backwards."""
    usual = {stage: _usual(stage, measured) for stage in STAGES}
    stages = planned_stages(job)
    if job.state == "done":
        return 1.0
    if job.stage not in stages:
        return 0.0
    before = sum(usual[stage] for stage in stages[: stages.index(job.stage)])
    within = usual[job.stage] * job.step / max(job.num_steps, 1)
    return (before + within) / sum(usual[stage] for stage in stages)


def _usual(stage: Stage, measured: dict[Stage, list[float]]) -> float:
    times = measured.get(stage)
    return median(times) if times else TYPICAL_SECONDS[stage]
