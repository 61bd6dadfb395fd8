"""The two steps side by side: the video, and the mesh that is built from it.

Each is a square that shows the best there is at the moment: an invitation, a preview, the result.
When its films play is for `assets/script/motion.js` to say.
"""

import html
from pathlib import Path
from urllib.parse import quote

from pipelines.jobs.records import Job
from ui.live import preview_html
from ui.progress import stage_label
from ui.tongues import Language, say
from ui.viewer import viewer_html
from ui.words import button


def address(path: Path) -> str:
    """Return where the browser finds a file of Gradio's cache."""
    return f"gradio_api/file={quote(str(path))}"


def step_html(number: int, title: str, body: str, *, foot: str = "", idle: bool = False) -> str:
    """Return a step's card."""
    look = "step idle" if idle else "step"
    return (
        f'<section class="{look}" aria-label="{html.escape(title)}"><header>'
        f'<span class="number">{number}</span><h3>{html.escape(title)}</h3></header>'
        f'<div class="square">{body}</div>{foot}</section>'
    )


def _words_in_square(text: str) -> str:
    return f'<p class="in-square">{html.escape(text)}</p>'


def empty_steps(language: Language) -> tuple[str, str]:
    """Return both steps before anything was made."""
    first = _words_in_square(say(language, "empty_video"))
    second = _words_in_square(say(language, "empty_mesh"))
    return (
        step_html(1, say(language, "step_video"), first, idle=True),
        step_html(2, say(language, "step_mesh"), second, idle=True),
    )


def film_html(
    job: Job,
    video: Path | None,
    preview: bytes | None,
    language: Language,
    *,
    clip: bool = False,
) -> str:
    """Return the first step of a job: its video, or as much of it as there is.

    Args:
        job: What is shown.
        video: Its video as served, if there is one.
        preview: The latest picture of it (JPEG).
        language: The visitor's.
        clip: The video is no orbit.
    """
    if video is not None:
        named = "clip_video" if clip else "orbit_video"
        alt = html.escape(say(language, named, title=job.title))
        body = (
            f'<video id="film" src="{address(video)}" aria-label="{alt}" preload="auto" muted '
            "playsinline tabindex='0' controlslist='nodownload noplaybackrate' "
            "disablepictureinpicture></video>"
        )
    elif preview is not None:
        stage = stage_label("video", language)
        body = preview_html(preview, say(language, "preview_alt", stage=stage))
    else:
        body = '<div class="noise" aria-hidden="true"></div>' if job.is_live else ""
    return step_html(1, say(language, "step_video"), body)


def mesh_html(
    job: Job,
    *,
    video: Path | None,
    mesh: Path | None,
    preview: bytes | None,
    cost: str,
    language: Language,
    mine: bool = True,
    another_viewer: bool = False,
    closed: str = "",
) -> str:
    """Return the second step of a job: its mesh to turn, or what leads there.

    Args:
        job: What is shown.
        video: Its video as served, if there is one.
        mesh: Its mesh as served, if there is one.
        preview: The latest picture of a stage after the video (JPEG).
        cost: How long building will take, in words.
        language: The visitor's.
        mine: Whether the visitor may build it.
        another_viewer: The mesh is shown elsewhere, by Gradio's own viewer.
        closed: Why no mesh can be made of the video; empty where one can.
    """
    title = say(language, "step_mesh")
    if mesh is not None and another_viewer:
        # Gradio's viewer is a component of its own, beside this one.
        back = button("viewer", say(language, "use_own_viewer"), style="quiet", job=job.id)
        return f'<section class="step">{back}</section>'
    if mesh is not None:
        framed = job.request.clip is None
        square, foot = viewer_html(address(mesh), job, language, framed=framed)
        return step_html(2, title, square, foot=foot)
    if job.is_live and (video is not None or not job.request.video_only):
        alt = say(language, "preview_alt", stage=stage_label(job.stage or "field", language))
        waits = _words_in_square(say(language, "queued_mesh"))
        return step_html(2, title, preview_html(preview, alt) or waits)
    if video is not None and closed and not job.is_live:
        return step_html(2, title, _words_in_square(closed), idle=True)
    if video is not None and mine:
        press = button("build", say(language, "build"), style="primary", job=job.id)
        return step_html(
            2, title, f'<div class="in-square">{press}<p>{html.escape(cost)}</p></div>'
        )
    key = "mesh_after_video" if job.is_live else "no_mesh"
    return step_html(2, title, _words_in_square(say(language, key)), idle=True)


def variations_html(
    shown: list[tuple[Job, Path | None, bytes | None]], chosen: str, language: Language
) -> str:
    """Return the jobs of a batch side by side, each with its video or preview; nothing for one."""
    if len(shown) < 2:
        return ""
    tiles = []
    for number, (job, video, preview) in enumerate(shown, start=1):
        name = say(language, "variation", number=number, seed=job.request.seed)
        if len({other.request.prompt for other, _, _ in shown}) > 1:
            name = f"{job.title} · {name}"
        if video is not None:
            picture = f'<video src="{address(video)}" preload="auto" muted playsinline></video>'
        else:
            picture = preview_html(preview) or f"<span>{_standing(job, language)}</span>"
        pressed = "true" if job.id == chosen else "false"
        tiles.append(
            f'<button type="button" class="act tile" data-act="choose" data-job="{job.id}" '
            f'aria-pressed="{pressed}" title="{html.escape(name)}">{picture}'
            f'<span class="unseen">{html.escape(name)}</span></button>'
        )
    says = html.escape(say(language, "choose"))
    return f'<div class="tiles" role="group" aria-label="{says}">{"".join(tiles)}</div>'


def _standing(job: Job, language: Language) -> str:
    return "" if job.state == "done" else html.escape(say(language, f"state_{job.state}"))
