"""How far a job is, as HTML: its prompt, its stages, a bar, the time left, what it knows."""

import html
import time

from pipelines.jobs.estimate import fraction_done, planned_stages, seconds_left
from pipelines.jobs.records import Job
from threed.progress import STAGES, Stage
from ui.words import duration, listing, notice, sentence

STAGE_LABELS: dict[Stage, str] = {
    "video": "Orbit video",
    "field": "3D field",
    "distillation": "Refining",
    "mesh": "Mesh",
    "texture": "Texture",
    "report": "Report",
}
assert tuple(STAGE_LABELS) == STAGES


def status_html(job: Job, measured: dict[Stage, list[float]], now: float | None = None) -> str:
    """Return the head of a job's panel; while it is live, with bar and time left."""
    now = time.time() if now is None else now
    title = f'<h2 class="job-title">{html.escape(job.request.prompt)}</h2>'
    about = f'<span class="job-about">seed {job.request.seed}</span>'
    head = f'<div class="job-head">{title}{about}</div>'
    if job.state == "failed":
        return head + notice(sentence(job.message), "error")
    if job.state == "cancelled":
        return head + notice("Cancelled.")
    if job.state == "done":
        return head
    return head + _stages(job) + _bar(job, measured, now)


def _stages(job: Job) -> str:
    stages = planned_stages(job)
    current = stages.index(job.stage) if job.stage in stages else -1
    items = []
    for index, stage in enumerate(stages):
        standing = "past" if index < current else "now" if index == current else "ahead"
        mark = ' aria-current="step"' if standing == "now" else ""
        items.append(f'<li class="{standing}"{mark}>{STAGE_LABELS[stage]}</li>')
    return f'<ol class="stages">{"".join(items)}</ol>'


def _bar(job: Job, measured: dict[Stage, list[float]], now: float) -> str:
    percent = 100 * fraction_done(job, measured)
    if job.cancelling:
        says, left = "Cancelling…", ""
    elif job.state == "queued":
        says, left = _waiting(job), ""
    elif job.stage is None:
        says, left = "Reading the prompt…", ""
    elif job.stage == "video" and job.step == 0:
        says, left = "Starting the orbit video…", _left(job, measured, now)
    else:
        says = sentence(job.message).removesuffix(".")
        left = _left(job, measured, now)
    return (
        f'<div class="bar" role="progressbar" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{percent:.0f}"><div style="width:{percent:.1f}%"></div></div>'
        f'<div class="bar-words"><span>{html.escape(says)}</span><span>{left}</span></div>'
    )


def _left(job: Job, measured: dict[Stage, list[float]], now: float) -> str:
    return f"about {duration(seconds_left(job, measured, now))} left"


def _waiting(job: Job) -> str:
    if job.num_ahead == 0:
        return "Starting: the model is being made ready…"
    jobs = "One job runs" if job.num_ahead == 1 else f"{job.num_ahead} jobs run"
    return f"Waiting in the queue. {jobs} before this one."


def known_html(job: Job) -> str:
    """Return what the model knows near the prompt; a plain warning where that is far."""
    if job.known is None or not job.known.names:
        return ""
    names = listing([f"“{name}”" for name in job.known.names])
    if job.known.familiar:
        return f'<p class="known">Nearest things the model knows: {html.escape(names)}.</p>'
    return notice(
        "This prompt lies far from everything that the model was taught, so the result will be a "
        f"guess. The nearest things it knows are {names}.",
        "warning",
    )
