"""What a tab shows at a moment, as the values of its components."""

import copy
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.closed import why_closed
from pipelines.jobs.records import Job
from threed.report import Report
from threed.run_folder import RunFolder
from ui.building import closed_words
from ui.copies import file_stem
from ui.cost import mesh_seconds
from ui.desk import Desk, is_key
from ui.downloads import downloads_html
from ui.gallery import PAGE_SIZE, gallery_html
from ui.live import latest_stage
from ui.progress import known_html, seen_html, status_html
from ui.report import report_html
from ui.steps import empty_steps, film_html, mesh_html, variations_html
from ui.tongues import Language, language_of, say
from ui.words import notice, roughly

MAX_TILES = 8


@dataclass
class Visit:
    """One tab: whose it is and what it looks at."""

    key: str = ""
    """The visitor's key."""
    language: Language = "en"
    chosen: str | None = None
    """The job that is shown; None is the newest."""
    shared: str | None = None
    """The token of somebody else's job that is shown instead."""
    search: str = ""
    num_listed: int = PAGE_SIZE
    another_viewer: bool = False
    """Gradio's viewer shows the mesh."""
    shown: list[Any] = field(default_factory=list)

    def recall(self, remembered: object, arrival: str | None) -> "Visit":
        """Return this tab; where the server has forgotten whose it is, as the browser knows it.

        That is so after an hour without a word from it, and after a restart.
        """
        if not self.key and is_key(remembered):
            self.key = remembered
            self.hear(arrival)
        return self

    def hear(self, arrival: str | None) -> None:
        """Heed what the browser said when it came: its language, and whose share it looks at."""
        try:
            told = json.loads(arrival or "{}")
        except (ValueError, RecursionError):
            return
        if isinstance(told, dict):
            self.language = language_of(told.get("language"))
            self.shared = told.get("share") if isinstance(told.get("share"), str) else None

    def renew(self, values: list[Any]) -> list[Any]:
        """Return the values with those that the tab shows already replaced by a skip."""
        old = self.shown if len(self.shown) == len(values) else [None] * len(values)
        # A copy, for Gradio writes into the updates that it is handed.
        self.shown = copy.deepcopy(values)
        return [gr.skip() if new == was else new for new, was in zip(values, old, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The components that show a visitor's jobs."""

    status: gr.HTML
    variations: gr.HTML
    film: gr.HTML
    mesh: gr.HTML
    other_viewer: gr.Model3D
    known: gr.HTML
    downloads: gr.HTML
    report: gr.HTML
    gallery: gr.HTML
    timer: gr.Timer

    def components(self) -> list[gr.components.Component | gr.Timer]:
        """Return the components in the order of `panel_values`."""
        return list(vars(self).values())


def build_panel() -> Panel:
    """Lay out what shows the chosen job; the gallery and the rest are laid out by `build_rest`."""
    status = gr.HTML(elem_id="status")
    variations = gr.HTML(visible=False, elem_id="variations-shown")
    with gr.Row(elem_id="steps"):
        film = gr.HTML(elem_id="film-step", min_width=240)
        mesh = gr.HTML(elem_id="mesh-step", min_width=240)
        # Hidden and not absent: it loads its canvas only where it stood before its mesh came.
        other_viewer = gr.Model3D(
            visible="hidden",
            interactive=False,
            elem_id="other-viewer",
            show_label=False,
            height=400,
            min_width=240,
            clear_color=(0.97, 0.96, 0.95, 1.0),
        )
    known = gr.HTML(visible=False, elem_id="known")
    downloads = gr.HTML(visible=False, elem_id="downloads")
    report = gr.HTML(visible=False, elem_id="report")
    gallery = gr.HTML(elem_id="gallery", render=False)
    timer = gr.Timer(0.6, active=False)
    return Panel(
        status=status,
        variations=variations,
        film=film,
        mesh=mesh,
        other_viewer=other_viewer,
        known=known,
        downloads=downloads,
        report=report,
        gallery=gallery,
        timer=timer,
    )


def panel_values(desk: Desk, visit: Visit) -> list[Any]:
    """Return the values of `Panel.components` for a tab; equal standings give equal values."""
    listed = desk.jobs(visit.key, visit.search, visit.num_listed + 1)
    if visit.shared is not None:
        job = desk.shared(visit.shared)
        batch = []
    else:
        job, batch = _chosen(desk, visit, listed)
    mine = visit.shared is None
    gallery = gallery_html(
        [(other, desk.store.folder(other)) for other in listed[: visit.num_listed]],
        len(listed) > visit.num_listed,
        job.id if job and mine else None,
        visit.language,
        visit.search,
    )
    if job is None:
        return _nothing(visit, gallery)
    shown, pending = _job_values(desk, visit, job, batch, mine)
    # What is in the queue moves on even where it is not what is looked at.
    live = job.is_live or pending or any(other.is_live for other in [*batch, *listed])
    return [*shown, gallery, gr.update(active=live)]


def _chosen(desk: Desk, visit: Visit, listed: list[Job]) -> tuple[Job | None, list[Job]]:
    """Return the job that is looked at and, oldest first, those that were handed in with it."""
    found = [job for job in listed if job.id == visit.chosen]
    if not found and visit.chosen is not None:
        found = [job for job in desk.jobs(visit.key) if job.id == visit.chosen]
    if not found:
        found = desk.jobs(visit.key, limit=1)
    if not found:
        return None, []
    job = found[0]
    batch = desk.jobs(visit.key, batch=job.batch) if job.batch else []
    return job, batch[::-1][:MAX_TILES]


def _nothing(visit: Visit, gallery: str) -> list[Any]:
    film, mesh = empty_steps(visit.language)
    hidden = _html("")
    status = ""
    if visit.shared is not None:
        status = notice(say(visit.language, "share_gone"), "warning")
        status += _own_page(visit.language)
    other = _other_viewer(None)
    live = gr.update(active=False)
    return [_html(status), hidden, _html(film), _html(mesh), other, *[hidden] * 3, gallery, live]


def _job_values(
    desk: Desk, visit: Visit, job: Job, batch: list[Job], mine: bool
) -> tuple[list[Any], bool]:
    """Return the values of everything but gallery and timer, and whether more is being made."""
    language = visit.language
    measured = desk.store.stage_seconds()
    results = desk.results(job)
    video, mesh = results.get("orbit.mp4"), results.get("mesh.glb")
    folder = desk.store.folder(job)
    files, pending = {}, False
    if not job.is_live and video is not None:
        files, pending = desk.exports.files(job.id, folder, file_stem(job))
    standing = desk.standing(job) if job.state == "queued" else None
    seen = seen_html(folder, language) if job.request.picture is not None else ""
    status = status_html(job, measured, language, standing=standing, mine=mine, seen=seen)
    if not mine:
        status = notice(say(language, "shared_with_you")) + status + _own_page(language)
    closed = why_closed(folder) if video is not None and mesh is None else None
    step = mesh_html(
        job,
        video=video,
        mesh=mesh,
        preview=_preview(desk, job, latest_stage(job.previews)) if job.is_live else None,
        cost=roughly(mesh_seconds(job.request, measured), language),
        language=language,
        mine=mine,
        another_viewer=visit.another_viewer,
        closed=closed_words(closed, language) if closed else "",
    )
    tiles = [(other, *_film(desk, other)) for other in batch]
    text = desk.report_text(job)
    found = None if text is None else Report.from_json(text)
    report = report_html(found, folder, language)
    values = [
        _html(status),
        _html(variations_html(tiles, job.id, language)),
        _html(film_html(job, video, _film(desk, job)[1], language, clip=closed is not None)),
        _html(step),
        _other_viewer(mesh if visit.another_viewer else None),
        _html(known_html(job, language, built=not job.is_live and mesh is not None)),
        _html(downloads_html(files, pending, language, clip=closed is not None)),
        _html(report),
    ]
    return values, pending


def _film(desk: Desk, job: Job) -> tuple[Path | None, bytes | None]:
    """Return a job's video as served, else its latest preview."""
    if RunFolder(desk.store.folder(job)).done("orbit"):
        return desk.results(job).get("orbit.mp4"), None
    return None, _preview(desk, job, "video")


def _preview(desk: Desk, job: Job, stage: Any) -> bytes | None:
    return desk.store.preview(job.id, stage) if stage in job.previews else None


def _other_viewer(mesh: Path | None) -> dict[str, Any]:
    return gr.update(value=str(mesh) if mesh else None, visible=True if mesh else "hidden")


def _own_page(language: Language) -> str:
    return f'<p><a class="own-page" href="./">{say(language, "make_own")}</a></p>'


def _html(text: str) -> dict[str, Any]:
    return gr.update(value=text, visible=bool(text))
