"""The page: its sections put together, and what happens on each event.

No event carries a job. Generate hands the request in and returns at once; a timer, which ticks
only while something may change, asks the store and renews what has changed.
"""

import copy
import textwrap
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from pipelines.errors import RequestError
from pipelines.jobs.records import Job
from ui.api import add_api
from ui.compose import Form, build_form, read_request
from ui.desk import Desk
from ui.gallery import latest_stage, preview_html
from ui.progress import known_html, status_html
from ui.report import report_html
from ui.viewer import Viewer, build_viewer, mesh_html
from ui.words import notice, sentence

TICK_SECONDS = 0.6
CANCEL_WAIT_SECONDS = 1.9
CACHE_CHECK_SECONDS, CACHE_KEEP_SECONDS = 3600, 24 * 3600
NUM_RUNS_LISTED = 12
LABEL_CHARACTERS = 32
# Both are the visitor's own; the secret only keeps the browser's storage readable after a restart.
BROWSER_KEY, BROWSER_SECRET = "lathe-session", "lathe-page-store"

# On a phone the panel lies below the form, where nobody would see it begin.
SHOW_PANEL = """(error) => {
    const panel = document.getElementById("panel");
    if (!error && window.innerWidth < 760) panel.scrollIntoView({behavior: "smooth"});
}"""

HEADING = """
<h1>Lathe</h1>
<p>Say what it should be. A small video model films it from all around, and the film becomes a
textured 3D mesh that you can turn and download.</p>
"""
NOTHING_YET = """
<div class="nothing-yet">
<p>Nothing made yet.</p>
<p>Type a thing, or pick an example, and press Generate. First the orbit video appears out of the
noise, then the 3D field forms, then the mesh is yours to turn.</p>
</div>
"""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """The components that show one job."""

    runs: gr.Radio
    status: gr.HTML
    known: gr.HTML
    preview: gr.HTML
    report: gr.HTML
    viewer: Viewer
    form: Form
    timer: gr.Timer

    def components(self) -> list[gr.components.Component | gr.Timer]:
        """Return the components in the order of `Values`."""
        viewer = self.viewer
        return [
            *(self.runs, self.status, self.known, self.preview),
            *(viewer.video, viewer.forming, viewer.mesh),
            *(viewer.download_mesh, viewer.download_video),
            *(self.report, self.form.cancel, self.timer),
        ]


@dataclass
class Shown:
    """What a tab shows, so that a tick sends only what has changed."""

    values: list[Any] = field(default_factory=list)

    def renew(self, values: list[Any]) -> list[Any]:
        """Return the values with those that the tab shows already replaced by a skip."""
        old = self.values if len(self.values) == len(values) else [None] * len(values)
        # A copy, for Gradio writes into the updates that it is handed.
        self.values = copy.deepcopy(values)
        return [gr.skip() if new == was else new for new, was in zip(values, old, strict=True)]


def build_page(desk: Desk) -> gr.Blocks:
    """Return the page; it starts the worker when the first visitor comes, if nobody did before."""
    with gr.Blocks(
        title="Lathe: from words to a textured mesh",
        analytics_enabled=False,
        delete_cache=(CACHE_CHECK_SECONDS, CACHE_KEEP_SECONDS),
    ) as page:
        # First, so that its endpoints have their names before the page's own events.
        add_api(desk)
        session = gr.BrowserState(None, storage_key=BROWSER_KEY, secret=BROWSER_SECRET)
        shown = gr.State(Shown())
        gr.HTML(HEADING, elem_id="heading")
        with gr.Row(elem_id="columns"):
            with gr.Column(elem_id="form", scale=4, min_width=300):
                form = build_form()
            with gr.Column(elem_id="panel", scale=8, min_width=300):
                panel = _build_panel(form)
        _wire(page, desk, session, shown, panel)
    return page


def _build_panel(form: Form) -> Panel:
    runs = gr.Radio(label="Your runs", visible=False, elem_id="runs")
    status = gr.HTML(NOTHING_YET, elem_id="status")
    known = gr.HTML(visible=False, elem_id="known")
    preview = gr.HTML(visible=False, elem_id="preview")
    viewer = build_viewer()
    report = gr.HTML(visible=False, elem_id="report")
    timer = gr.Timer(TICK_SECONDS, active=False)
    return Panel(
        runs=runs,
        status=status,
        known=known,
        preview=preview,
        report=report,
        viewer=viewer,
        form=form,
        timer=timer,
    )


def _wire(
    page: gr.Blocks, desk: Desk, session: gr.BrowserState, shown: gr.State, panel: Panel
) -> None:
    form = panel.form

    def show(session_key: object, chosen: object, shown_now: Shown) -> list[Any]:
        return [*shown_now.renew(panel_values(desk, desk.jobs(session_key), chosen)), shown_now]

    def choose(session_key: object, chosen: object, shown_now: Shown) -> list[Any]:
        values = show(session_key, chosen, shown_now)
        # Only here is the choice set: a tick that set it would undo a click made meanwhile.
        values[0] = {**_runs(desk.jobs(session_key)), "value": chosen}
        return values

    def enter(remembered: object) -> list[Any]:
        desk.open()
        key = desk.session(remembered)
        jobs = desk.jobs(key)
        return [key, *choose(key, jobs[0].id if jobs else None, Shown())]

    def generate(session_key: object, chosen: object, shown_now: Shown, *values: Any) -> list[Any]:
        try:
            # A tab whose storage was cleared still has to be able to work.
            key = desk.session(session_key)
            chosen = desk.submit(read_request(*values), key)
        except RequestError as error:
            refusal = gr.update(value=notice(sentence(str(error)), "error"), visible=True)
            return [session_key, refusal, *show(session_key, chosen, shown_now)]
        return [key, gr.update(value="", visible=False), *choose(key, chosen, shown_now)]

    def cancel(session_key: object, chosen: object, shown_now: Shown) -> list[Any]:
        desk.cancel(chosen, session_key)
        # Meanwhile the timer's ticks say that it is being cancelled.
        desk.wait_until_over(chosen, session_key, CANCEL_WAIT_SECONDS)
        return show(session_key, chosen, shown_now)

    outputs = [*panel.components(), shown]
    looking = [session, panel.runs, shown]
    # Every handler is quick and the work is elsewhere, so none has to wait in Gradio's own queue.
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    asking = {"inputs": [*looking, *form.inputs], "outputs": [session, form.error, *outputs]}
    page.load(enter, session, [session, *outputs], **quiet)
    for asked in (form.generate.click, form.prompt.submit):
        asked(generate, **asking, **quiet).then(
            None, form.error, js=SHOW_PANEL, api_visibility="private"
        )
    form.cancel.click(cancel, looking, outputs, **quiet)
    panel.runs.input(show, looking, outputs, **quiet)
    panel.timer.tick(show, looking, outputs, **quiet)


def panel_values(desk: Desk, jobs: list[Job], chosen: object) -> list[Any]:
    """Return the values of `Panel.components` for a visitor's jobs, showing the chosen or newest.

    Equal standings give equal values.
    """
    live = any(job.is_live for job in jobs)
    if not jobs:
        hidden = gr.update(visible=False)
        return [hidden, NOTHING_YET, *[hidden] * 9, gr.update(active=live)]
    job = next((job for job in jobs if job.id == chosen), jobs[0])
    results = desk.results(job)
    video, mesh = results.get("orbit.mp4"), results.get("mesh.glb")
    preview = forming = ""
    if job.is_live and video is None:
        preview = preview_html("video", desk.store.preview(job.id, "video"))
    if job.is_live and mesh is None and (stage := latest_stage(job.previews)):
        forming = preview_html(stage, desk.store.preview(job.id, stage))
    return [
        _runs(jobs),
        status_html(job, desk.store.stage_seconds()),
        _html(known_html(job)),
        _html(preview),
        _file(video),
        _html(forming),
        _html(mesh_html(mesh, job.request.prompt)),
        _file(mesh),
        _file(video),
        _html(report_html(desk.report_text(job), (job.finished or 0.0) - (job.started or 0.0))),
        gr.update(visible=job.is_live, interactive=not job.cancelling),
        gr.update(active=live),
    ]


def _runs(jobs: list[Job]) -> dict[str, Any]:
    choices = []
    for other in jobs[:NUM_RUNS_LISTED]:
        mark = {"queued": "waiting", "done": ""}.get(other.state, other.state)
        title = textwrap.shorten(other.request.prompt, LABEL_CHARACTERS, placeholder="…")
        choices.append((f"{title} · {mark}" if mark else title, other.id))
    return gr.update(choices=choices, visible=len(jobs) > 1)


def _html(text: str) -> dict[str, Any]:
    return gr.update(value=text, visible=bool(text))


def _file(path: Any) -> dict[str, Any]:
    return gr.update(value=str(path) if path else None, visible=path is not None)
