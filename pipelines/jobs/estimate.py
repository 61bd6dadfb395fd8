"""How much of a run is behind it, from how long its stages took before."""

from statistics import median

from pipelines.jobs.records import Job
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
    """Return the stages that a job's request asks for, in order."""
    if job.request.video_only:
        return ("video",)
    return tuple(stage for stage in STAGES if stage != "distillation" or job.request.distil)


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
