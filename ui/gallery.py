"""A visitor's creations: to look at again, find, rename, share, delete, and make anew."""

import html
from pathlib import Path

from pipelines.jobs.records import Job
from pipelines.request import SEEN_NAME
from threed.run_folder import RunFolder, shown_orbit
from ui.pictures import film_start, thumbnail
from ui.tongues import Language, say
from ui.words import button

PAGE_SIZE = 12
THUMB, INSET = 160, 44
MAX_TITLE = 120


def gallery_html(
    jobs: list[tuple[Job, Path]], more: bool, chosen: str | None, language: Language, search: str
) -> str:
    """Return the cards of a visitor's jobs.

    Args:
        jobs: Jobs and their run folders, the newest first.
        more: There are further ones.
        chosen: The id of the one that is shown above.
        language: The visitor's.
        search: What was searched for.
    """
    head = f"<h2>{say(language, 'gallery')}</h2>"
    if not jobs:
        none = say(language, "found_none" if search else "gallery_none")
        return f'{head}<p class="quiet-words">{none}</p>'
    cards = "".join(_card(job, folder, job.id == chosen, language) for job, folder in jobs)
    further = button("more", say(language, "more")) if more else ""
    return f'{head}<ul class="cards">{cards}</ul>{further}'


def _card(job: Job, folder: Path, shown: bool, language: Language) -> str:
    title = html.escape(job.title)
    look = html.escape(say(language, "look", title=job.title))
    picture = film_start(shown_orbit(folder) / "orbit.mp4", THUMB)
    if job.request.picture is not None:
        # What it was made of, in the corner of what was made or, until then, instead.
        picture += thumbnail(folder / SEEN_NAME, INSET if picture else THUMB)
    if not picture:
        picture = '<span class="waiting" aria-hidden="true">…</span>'
    marks = ' aria-current="true"' if shown else ""
    marks += ' data-live="yes"' if job.is_live else ""
    deleting = html.escape(say(language, "delete_sure"))
    acts = (
        button("again", say(language, "again_short"), style="quiet", job=job.id)
        + _sharing(job, language)
        + f'<button type="button" class="act quiet danger" data-act="delete" data-job="{job.id}" '
        f'data-sure="{deleting}">{say(language, "delete")}</button>'
    )
    return (
        f'<li class="card"{marks}><button type="button" class="act picture" data-act="choose" '
        f'data-job="{job.id}" title="{look}">{picture}'
        f'<span class="badge">{html.escape(_badge(job, folder, language))}</span>'
        f'<span class="unseen">{look}</span></button>'
        f'<input class="title" data-act="rename" data-job="{job.id}" value="{title}" '
        f'aria-label="{say(language, "title_of")}" maxlength="{MAX_TITLE}">'
        f'<div class="acts">{acts}</div></li>'
    )


def _badge(job: Job, folder: Path, language: Language) -> str:
    run = RunFolder(folder)
    if job.is_live or not run.done("orbit"):
        return say(language, f"state_{job.state}") if job.state != "done" else ""
    return "3D" if run.done("mesh") else say(language, "has_video")


def _sharing(job: Job, language: Language) -> str:
    if job.share is None:
        return button("share", say(language, "share"), style="quiet", job=job.id)
    # The page's script makes the whole address of the token.
    return (
        f'<span class="link" data-token="{job.share}"><input readonly '
        f'aria-label="{say(language, "share_link")}">'
        f'<button type="button" class="act quiet" data-tool="copy" '
        f'data-done="{say(language, "copied")}">{say(language, "copy")}</button></span>'
        + button("unshare", say(language, "unshare"), style="quiet", job=job.id)
    )
