"""How far a job is, as HTML: its title, its stages, a bar, the time left, what it knows."""

import html
import time
from pathlib import Path

from pipelines.jobs.estimate import fraction_done, planned_stages, seconds_left
from pipelines.jobs.records import Job, Standing
from pipelines.motions import find_motion
from pipelines.request import SEEN_NAME
from threed.progress import Stage
from ui.pictures import thumbnail
from ui.tongues import Language, say
from ui.words import button, listing, notice, roughly, sentence

SEEN_SIDE = 96


def stage_label(stage: Stage, language: Language) -> str:
    """Return what a visitor calls a stage."""
    return say(language, f"stage_{stage}")


def status_html(
    job: Job,
    measured: dict[Stage, list[float]],
    language: Language = "en",
    *,
    standing: Standing | None = None,
    mine: bool = True,
    seen: str = "",
    now: float | None = None,
) -> str:
    """Return the head of a job's panel; while it is live, with bar and time left.

    Args:
        job: What is shown.
        measured: Durations of each stage in earlier runs, seconds.
        language: The visitor's.
        standing: Of a job that waits: when it begins.
        mine: Whether the visitor may do anything to it.
        seen: The picture that it is made from, as HTML; empty where there is none.
        now: Seconds since the epoch; None is now.
    """
    now = time.time() if now is None else now
    about = say(language, "about", seed=job.request.seed)
    again = button("again", say(language, "again"), style="quiet", job=job.id) if mine else ""
    title = html.escape(job.title or job.request.prompt)
    head = (
        f'<div class="job-head">{seen}<h2 class="job-title">{title}</h2>'
        f'<span class="job-about">{about}</span>{again}</div>'
    )
    return head + _ended(job, language, mine) + _running(job, measured, language, standing, now)


def seen_html(folder: Path, language: Language) -> str:
    """Return the picture that a job is made from; nothing before it was read."""
    picture = thumbnail(folder / SEEN_NAME, SEEN_SIDE)
    if not picture:
        return ""
    says = html.escape(say(language, "picture_seen"))
    return f'<span class="seen" role="img" aria-label="{says}" title="{says}">{picture}</span>'


def _ended(job: Job, language: Language, mine: bool) -> str:
    retry = ""
    if mine and job.state in ("failed", "cancelled", "stopped"):
        retry = button("resume", say(language, "retry"), job=job.id)
    if job.state == "failed":
        return notice(sentence(job.message, language), "error") + retry
    if job.state in ("cancelled", "stopped"):
        return notice(say(language, job.state)) + retry
    return ""


def _running(
    job: Job,
    measured: dict[Stage, list[float]],
    language: Language,
    standing: Standing | None,
    now: float,
) -> str:
    if not job.is_live:
        return ""
    says, left = _words(job, measured, language, standing, now)
    percent = 100 * fraction_done(job, measured)
    held = job.cancelling or job.stopping
    # First: a button that came before it would take its place under a finger.
    acts = button("cancel", say(language, "cancel"), job=job.id, disabled=job.cancelling)
    if job.previews and job.state == "running":
        acts += button("stop", say(language, "stop"), style="quiet", job=job.id, disabled=held)
    return (
        f"{_stages(job, language)}"
        f'<div class="bar" role="progressbar" aria-label="{html.escape(job.title)}" '
        f'aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent:.0f}">'
        f'<div style="width:{percent:.1f}%"></div></div>'
        f'<div class="bar-words"><span role="status">{html.escape(says)}</span>'
        f"<span>{html.escape(left)}</span></div>"
        f'<div class="acts">{acts}</div>'
    )


def _stages(job: Job, language: Language) -> str:
    stages = planned_stages(job)
    current = stages.index(job.stage) if job.stage in stages else -1
    items = []
    for index, stage in enumerate(stages):
        standing = "past" if index < current else "now" if index == current else "ahead"
        mark = ' aria-current="step"' if standing == "now" else ""
        items.append(f'<li class="{standing}"{mark}>{stage_label(stage, language)}</li>')
    return f'<ol class="stages">{"".join(items)}</ol>'


def _words(
    job: Job,
    measured: dict[Stage, list[float]],
    language: Language,
    standing: Standing | None,
    now: float,
) -> tuple[str, str]:
    """Return what happens now, and how long it will take."""
    left = say(language, "left", time=roughly(seconds_left(job, measured, now), language))
    if job.cancelling:
        return say(language, "cancelling"), ""
    if job.stopping:
        return say(language, "stopping"), ""
    if job.state == "queued":
        starts = ""
        if standing is not None and standing.wait_seconds > 1.0:
            starts = say(language, "starts_in", time=roughly(standing.wait_seconds, language))
        return _waiting(job, language), starts
    if job.stage is None:
        return say(language, "reading"), left
    stage = stage_label(job.stage, language)
    return say(language, "step_of", stage=stage, step=job.step, count=job.num_steps), left


def _waiting(job: Job, language: Language) -> str:
    if job.num_ahead == 0:
        return say(language, "starting")
    return say(language, "waiting_one" if job.num_ahead == 1 else "waiting", number=job.num_ahead)


def _drawn(job: Job) -> str:
    """Return which text says why a job is drawn as something else than was typed."""
    if find_motion(job.request.prompt) is None:
        return "drawn_as"
    return "drawn_moving" if job.request.video_only else "drawn_still"


def known_html(job: Job, language: Language = "en", *, built: bool = False) -> str:
    """Return what the model knows near the prompt; a plain warning where that is far.

    Once the mesh is built, only what else than the prompt was drawn is still said.
    """
    if job.known is None or not job.known.names:
        return ""
    told = []
    if job.known.drawn_as is not None:
        told.append(say(language, _drawn(job), caption=f"“{job.known.drawn_as}”"))
    if not built:
        names = listing([f"“{name}”" for name in job.known.names], language)
        told.append(say(language, "known_near" if job.known.familiar else "known_far", names=names))
    if not told:
        return ""
    words = ("" if language == "zh" else " ").join(told)
    if job.known.familiar:
        return f'<p class="known">{html.escape(words)}</p>'
    return notice(words, "warning")
