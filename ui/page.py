"""The page: its sections put together, and what happens on each event.

No event carries a job. Pressing the button hands requests in and returns at once; a timer, which
ticks only while something may change, asks the store and renews what has changed.
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr

from pipelines.errors import RequestError
from pipelines.models.catalogue import MODELS
from pipelines.provenance import read_provenance
from pipelines.request import GenerationRequest
from ui.actions import act
from ui.api import add_api
from ui.clips import clip_request
from ui.compose import (
    Form,
    build_form,
    form_values,
    picture_request,
    possible_here,
    read_requests,
    wishes,
)
from ui.cost import cost_html
from ui.desk import Desk
from ui.mesh_settings import NUM_FIELDS
from ui.panel import Panel, Visit, build_panel, panel_values
from ui.tongues import Language, label, say
from ui.uploads import check_clip, check_picture, forget_upload
from ui.words import notice, sentence

CACHE_CHECK_SECONDS, CACHE_KEEP_SECONDS = 3600, 24 * 3600
# Both are the visitor's own; the secret only keeps the browser's storage readable after a restart.
BROWSER_KEY, BROWSER_SECRET = "lathe-session", "lathe-page-store"

# What the browser alone knows when it comes.
ARRIVAL = """(session, arrival) => [session, JSON.stringify({
    language: document.documentElement.lang || navigator.language,
    share: new URLSearchParams(location.search).get("share"),
})]"""
# The presses within the page's own HTML go through this element (`assets/script/studio.js`).
BOARD = "window.latheSend = (pressed) => trigger('act', pressed);"
SHOW_PANEL = "(...values) => { window.latheShow?.(); return values; }"
SHOW_REFUSAL = "() => window.latheRefused?.()"
NUM_FORM_FIELDS = 15


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The page's components that are not the form's and not the panel's."""

    session: gr.BrowserState
    """The visitor's key, which the browser remembers."""
    visit: gr.State
    arrival: gr.Textbox
    board: gr.HTML
    heading: gr.HTML
    search: gr.Textbox


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
        visit = gr.State(Visit())
        arrival = gr.Textbox(visible=False)
        board = gr.HTML("", visible="hidden", elem_id="board", js_on_load=BOARD)
        heading = gr.HTML(heading_html("en"), elem_id="heading")
        with gr.Row(elem_id="columns"):
            with gr.Column(elem_id="form", scale=4, min_width=300):
                form = build_form()
            with gr.Column(elem_id="panel", scale=9, min_width=300):
                panel = build_panel()
        with gr.Column(elem_id="creations"):
            search = gr.Textbox(
                label=label("search"), placeholder=label("search"), max_lines=1, elem_id="search"
            )
            panel.gallery.render()
        parts = Parts(
            session=session,
            visit=visit,
            arrival=arrival,
            board=board,
            heading=heading,
            search=search,
        )
        _wire(page, parts, form, panel, Clerk(desk))
    return page


def heading_html(language: Language) -> str:
    """Return the page's head, with the model that works here."""
    cards = [card for card in MODELS if card.runnable()]
    card = cards[0] if cards else MODELS[0]
    key = "model_line" if cards else "model_missing"
    model = say(language, key, title=card.title, licence=card.licence)
    return (
        f'<div class="brand"><h1>Lathe</h1><p>{html.escape(say(language, "tagline"))}</p></div>'
        f'<p class="model-line">{html.escape(model)}</p>'
    )


@dataclass
class Clerk:
    """Answers the page's events; each answer is the tab's state and what of it has changed."""

    desk: Desk
    form_skips: list[Any] = field(default_factory=lambda: [gr.skip()] * NUM_FORM_FIELDS)

    def enter(self, remembered: object, arrival: str | None) -> list[Any]:
        """Answer a tab that has just been opened."""
        self.desk.open()
        visit = Visit(key=self.desk.session(remembered))
        visit.hear(arrival)
        return [visit.key, gr.update(value=heading_html(visit.language)), *self.look(visit)]

    def look(self, visit: Visit) -> list[Any]:
        """Answer with the panel as it is now."""
        return [visit, *visit.renew(panel_values(self.desk, visit))]

    def generate(self, visit: Visit, *values: Any) -> list[Any]:
        """Hand in what the form asks for, and show the first of it."""
        # A tab whose storage was cleared still has to be able to work.
        visit.key = visit.key or self.desk.session(None)
        try:
            requests = read_requests(*values)
            ids = (
                self.desk.submit_batch(requests, visit.key)
                if len(requests) > 1
                else [self.desk.submit(requests[0], visit.key)]
            )
        except RequestError as error:
            return [visit.key, self._refusal(error, visit), *self.look(visit)]
        visit.chosen, visit.shared, visit.another_viewer = ids[0], None, False
        return [visit.key, _hidden(), *self.look(visit)]

    def clip(self, visit: Visit, path: str | None, fov_deg: Any, *values: Any) -> list[Any]:
        """Hand in a clip of the visitor's own; it leaves Gradio's cache whatever comes of it."""

        def read(upload: Path) -> GenerationRequest:
            return clip_request(upload, check_clip(upload), fov_deg, values)

        return self._take_in(visit, path, "clip_missing", read)

    def picture(
        self,
        visit: Visit,
        models: Sequence[str],
        path: str | None,
        words: str | None,
        seed: Any,
        *values: Any,
    ) -> list[Any]:
        """Hand in a picture of the visitor's own, as `clip` does a clip."""

        def read(upload: Path) -> GenerationRequest:
            return picture_request(upload, check_picture(upload), words, seed, models, values)

        return self._take_in(visit, path, "picture_missing", read)

    def _take_in(
        self,
        visit: Visit,
        path: str | None,
        missing: str,
        read: Callable[[Path], GenerationRequest],
    ) -> list[Any]:
        """Hand in an upload; it leaves Gradio's cache whatever comes of it."""
        visit.key = visit.key or self.desk.session(None)
        said = _hidden()
        try:
            if not path:
                raise RequestError(say(visit.language, missing))
            upload = Path(path)
            visit.chosen = self.desk.submit(read(upload), visit.key, upload)
            visit.shared, visit.another_viewer = None, False
        except RequestError as error:
            said = self._refusal(error, visit)
        finally:
            if path:
                forget_upload(Path(path))
        return [visit.key, said, None, *self.look(visit)]

    def act(self, visit: Visit, values: list[Any], pressed: dict[str, Any]) -> list[Any]:
        """Do what was pressed within the page's own HTML."""
        fields = self.form_skips
        said = _hidden()
        try:
            if request := act(self.desk, visit, pressed, values):
                fields, said = self._filled(request, visit)
        except RequestError as error:
            said = self._refusal(error, visit)
        heading = gr.skip()
        if pressed.get("act") == "language":
            heading = gr.update(value=heading_html(visit.language))
        return [heading, said, *fields, *self.look(visit)]

    def search(self, visit: Visit, words: str) -> list[Any]:
        """Show the creations that have these words."""
        act(self.desk, visit, {"act": "search", "text": words}, ())
        return self.look(visit)

    def costs(self, takers: Sequence[str], visit: Visit, *values: Any) -> list[str]:
        """Return what each kind of wish will cost; nothing for one that cannot be had."""
        measured, standing = self.desk.store.stage_seconds(), self.desk.standing()
        says = []
        for wish in wishes(values, takers):
            try:
                says.append(cost_html(wish(), measured, standing, visit.language))
            except RequestError:
                says.append("")
        return says

    def restore(self, visit: Visit, path: str | None) -> list[Any]:
        """Put the settings that a dropped file was made with into the form."""
        if not path:
            return [gr.skip(), *self.form_skips]
        try:
            fields, said = self._filled(read_provenance(path).request, visit)
        except RequestError as error:
            fields, said = self.form_skips, self._refusal(error, visit)
        finally:
            # It was wanted for its settings alone.
            forget_upload(Path(path))
        return [said, *fields]

    def _filled(self, request: GenerationRequest, visit: Visit) -> tuple[list[Any], Any]:
        filled = possible_here(request)
        values, key = form_values(filled), "restored"
        if request.clip is not None:
            # Its name is no prompt, and its frames are its own.
            values[:-NUM_FIELDS] = self.form_skips[:-NUM_FIELDS]
            key = "clip_restored"
        elif request.picture is not None:
            # So may its words be, and whether the video is there is for the picture to say.
            values[0], key = gr.skip(), "picture_restored"
        says = say(visit.language, key, title=f"“{request.prompt}”")
        if filled.model != request.model:
            says = f"{says} {say(visit.language, 'elsewhere', model=request.model)}"
        return values, gr.update(value=notice(says), visible=True)

    def _refusal(self, error: RequestError, visit: Visit) -> Any:
        words = sentence(str(error), visit.language)
        return gr.update(value=notice(words, "error"), visible=True)


def _hidden() -> Any:
    return gr.update(value="", visible=False)


def _wire(page: gr.Blocks, parts: Parts, form: Form, panel: Panel, clerk: Clerk) -> None:
    tab = [parts.session, parts.arrival, parts.visit]
    shown = [parts.visit, *panel.components()]
    # Every handler is quick and the work is elsewhere, so none has to wait in Gradio's own queue.
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    always = {**quiet, "trigger_mode": "multiple"}
    inputs = list(form.inputs)

    def costs(visit: Visit, *values: Any) -> list[str]:
        return clerk.costs(form.picture.models if form.picture else (), visit, *values)

    def press(event: gr.EventData, session: Any, arrival: Any, visit: Visit, *values: Any) -> Any:
        pressed = event._data if isinstance(event._data, dict) else {}
        return clerk.act(visit.recall(session, arrival), list(values), pressed)

    def recalled(answer: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
        def answer_tab(session: Any, arrival: Any, visit: Visit, *values: Any) -> list[Any]:
            return answer(visit.recall(session, arrival), *values)

        # The event is called as what answers it.
        answer_tab.__name__ = answer.__name__
        return answer_tab

    def enter(session: Any, arrival: Any) -> Any:
        # What the browser told goes back to it, to be told again to a server that has forgotten.
        key, *rest = clerk.enter(session, arrival)
        return [key, arrival, *rest]

    page.load(
        enter,
        [parts.session, parts.arrival],
        [parts.session, parts.arrival, parts.heading, *shown],
        js=ARRIVAL,
        **quiet,
    ).then(costs, [parts.visit, *inputs], form.costs(), **quiet)
    for asked in (form.generate.click, form.prompt.submit):
        asked(
            recalled(clerk.generate),
            [*tab, *inputs],
            [parts.session, form.error, *shown],
            **quiet,
        ).then(costs, [parts.visit, *inputs], form.costs(), js=SHOW_PANEL, **quiet)
    clip = form.clip
    clip.build.click(
        recalled(clerk.clip),
        [*tab, clip.clip, clip.fov_deg, *inputs],
        [parts.session, form.error, clip.clip, *shown],
        **quiet,
    ).then(None, js=SHOW_PANEL, api_visibility="private")
    if (picture := form.picture) is not None:

        def hand_in(visit: Visit, *values: Any) -> list[Any]:
            return clerk.picture(visit, picture.models, *values)

        picture.make.click(
            recalled(hand_in),
            [*tab, picture.picture, picture.words, picture.seed, *inputs],
            [parts.session, form.error, picture.picture, *shown],
            **quiet,
        ).then(None, js=SHOW_PANEL, api_visibility="private")
    parts.board.act(
        press, [*tab, *inputs], [parts.heading, form.error, *inputs, *shown], **always
    ).then(None, js=SHOW_REFUSAL, api_visibility="private")
    form.restore.upload(clerk.restore, [parts.visit, form.restore], [form.error, *inputs], **quiet)
    parts.search.change(
        recalled(clerk.search),
        [*tab, parts.search],
        shown,
        **{**quiet, "trigger_mode": "always_last"},
    )
    panel.timer.tick(recalled(clerk.look), tab, shown, **quiet)
    # Whenever a job comes or goes the queue is another.
    panel.gallery.change(costs, [parts.visit, *inputs], form.costs(), **quiet)
    gr.on(
        # A State holds the model where there is but one to choose.
        [getattr(part, "change") for part in inputs if not isinstance(part, gr.State)],  # noqa: B009
        costs,
        [parts.visit, *inputs],
        form.costs(),
        **{**quiet, "trigger_mode": "always_last"},
    )
