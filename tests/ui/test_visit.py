"""A tab that the server has forgotten is the visitor's still."""

import json

import gradio as gr

from pipelines.request import GenerationRequest
from ui.actions import act
from ui.desk import Desk
from ui.page import Clerk, build_page
from ui.panel import Visit

CHINESE = json.dumps({"language": "zh-CN", "share": None})


def test_it_is_recalled_by_the_key_that_the_browser_keeps(desk: Desk) -> None:
    key = desk.session(None)
    job_id = desk.store.submit(GenerationRequest(prompt="a pie"), key)
    clerk = Clerk(desk)
    assert "a pie" not in str(clerk.look(Visit().recall(None, None)))
    forgotten = Visit().recall(key, CHINESE)
    assert (forgotten.key, forgotten.language, forgotten.shared) == (key, "zh", None)
    guest = Visit().recall(key, json.dumps({"language": "en", "share": "y" * 22}))
    assert (guest.language, guest.shared) == ("en", "y" * 22)
    assert "a pie" in str(clerk.look(forgotten))
    clerk.act(Visit().recall(key, CHINESE), [], {"act": "cancel", "job": job_id})
    assert desk.job(job_id, key).state == "cancelled"


def test_what_the_server_knows_stands_and_no_key_is_made_up(desk: Desk) -> None:
    mine, other = desk.session(None), desk.session(None)
    assert Visit(key=mine, language="zh").recall(other, None) == Visit(key=mine, language="zh")
    for remembered in (None, "", 7, "x", ["y"] * 22):
        assert Visit().recall(remembered, "no JSON") == Visit()


def test_every_event_that_shows_the_panel_is_told_whose_tab_it_is(desk: Desk) -> None:
    page = build_page(desk)
    kept = next(block for block in page.blocks.values() if isinstance(block, gr.BrowserState))
    (entry,) = (event for event in page.fns.values() if event.js and "navigator" in str(event.js))
    arrival = entry.inputs[1]
    tabs = [
        block
        for block in page.blocks.values()
        if isinstance(block, gr.State) and isinstance(block.value, Visit)
    ]
    (tab,) = tabs
    shows = [event for event in page.fns.values() if tab in event.outputs]
    assert len(shows) >= 5
    assert all(kept in event.inputs and arrival in event.inputs for event in shows)
    # The browser keeps it too.
    assert arrival in entry.outputs


def test_a_viewer_that_fails_twice_is_changed_once(desk: Desk) -> None:
    visit = Visit(key=desk.session(None))
    for _ in range(2):
        act(desk, visit, {"act": "viewer", "text": "other"}, ())
        assert visit.another_viewer
    act(desk, visit, {"act": "viewer"}, ())
    assert not visit.another_viewer
