"""Which addresses stand open, and which values the page's own events take."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.served import served_page
from tests.ui.test_guard import ask
from ui.desk import Desk
from ui.doors import is_open


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Desk]]:
    with served_page(tmp_path_factory.mktemp("page")) as served:
        yield served


@pytest.mark.parametrize(
    "path",
    [
        *("/gradio_api/proxy=http://127.0.0.1:9/", "/gradio_api/stream/a/b/c/playlist.m3u8"),
        *("/gradio_api/vibe-edit/", "/gradio_api/dev/reload", "/gradio_api/deep_link"),
        *("/gradio_api/component_server", "/gradio_api/process_recording", "/gradio_api/runs"),
        *("/gradio_api/custom_component/a/client/component/b", "/gradio_api/call/v2/models"),
        *("/gradio_api/run-history/connect", "/gradio_api/queue/status", "/monitoring/summary"),
        *("/login", "/logout", "/gradio_api/token", "/gradio_api/profiling/summary", "/app.py"),
        *("/../app.py", "/viewer", "/config/x", "/gradio_api/file/etc/passwd", "/\n"),
    ],
)
def test_what_nobody_needs_is_not_there(path: str) -> None:
    assert not is_open(path)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/config", "/config/", "/health", "/metrics", "/theme.css", "/assets/a.js"),
        *("/viewer/model-viewer.min.js", "/studio/studio.js", "/gradio_api/file=/tmp/a b\n.glb"),
        *("/gradio_api/run/submit", "/gradio_api/api/submit/", "/gradio_api/call/submit/ab12"),
        *("/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/heartbeat/a1"),
        *("/gradio_api/upload", "/gradio_api/upload_progress", "/gradio_api/mcp/"),
        *("/gradio_api/info", "/gradio_api/mcp/schema", "/gradio_api/startup-events"),
    ],
)
def test_what_page_scripts_and_agents_use_is_there(path: str) -> None:
    assert is_open(path)


def test_a_closed_door_says_nothing_of_what_is_behind_it(served: tuple[str, Desk]) -> None:
    for path in ("/gradio_api/queue/status", "/gradio_api/no-such-thing"):
        status, headers, said = ask(served[0] + path)
        assert (status, said) == (404, b"There is nothing here.")
        assert headers["x-content-type-options"] == "nosniff"


def press(url: str, name: str, values: list[Any] | None, **more: Any) -> tuple[int, Any]:
    """Ask for one of the page's own events by its number; return the status and the answer."""
    _, _, config = ask(f"{url}/config")
    events = [it for it in json.loads(config)["dependencies"] if it["api_name"] == name]
    (event,) = events
    given = [None] * len(event["inputs"]) if values is None else values
    body = json.dumps({"data": given, "fn_index": event["id"], "session_hash": "a", **more})
    status, _, answer = ask(f"{url}/gradio_api/run/predict", body.encode())
    return status, json.loads(answer)


TAB = [None, None, None]
"""Key, arrival and the tab's state, as a browser sends them that has nothing yet."""
FIELDS = {
    "prompt": "",
    "seed": 7,
    "variations": "1",
    "straight": False,
    "model": None,
    "num_frames": 24,
    "num_steps": 0,
    "guidance_scale": 0,
    "elevation_deg": 15,
    "camera": "auto",
    "texture_size": 1024,
    "max_faces": 1000,
    "max_mb": 0,
    "distil": True,
    "redraw": True,
}


def generating(**changes: object) -> list[Any]:
    """Return what a browser sends that asks for a video, but for some fields."""
    assert changes.keys() <= FIELDS.keys()
    return [*TAB, *(FIELDS | changes).values()]


@pytest.mark.parametrize(
    ("name", "values"),
    [("generate", generating()), ("search", [*TAB, "a"]), ("look", TAB)],
)
def test_values_that_a_browser_sends_are_judged_by_the_page(
    served: tuple[str, Desk], name: str, values: list[Any]
) -> None:
    assert press(served[0], name, values)[0] == 200


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("enter", []),
        ("enter", [None, 7]),
        ("enter", [None, None, None]),
        ("restore", [None, "/etc/passwd"]),
        ("restore", [None, {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}]),
        ("search", [*TAB, ["a"]]),
        ("generate", generating()[:-1]),
        ("generate", generating(seed="7")),
        ("generate", generating(variations=1)),
        ("generate", generating(straight="no")),
        ("generate", generating(texture_size=True)),
        # What programs may call by name is judged the same by its number.
        ("status", ["x" * 22, {}]),
    ],
)
def test_values_that_no_browser_sends_are_the_callers_fault(
    served: tuple[str, Desk], name: str, values: list[Any]
) -> None:
    assert press(served[0], name, values)[0] == 422


@pytest.mark.parametrize(
    "arrival", ["", "{", "[]", "7", '{"language": 7, "share": []}', "[" * 9999]
)
def test_whatever_a_browser_says_of_itself_it_may_enter(
    served: tuple[str, Desk], arrival: str
) -> None:
    status, answer = press(served[0], "enter", [None, arrival])
    assert status == 200
    assert served[1].session(answer["data"][0]) == answer["data"][0]


def test_an_event_that_only_the_browser_has_is_not_there(served: tuple[str, Desk]) -> None:
    _, _, config = ask(f"{served[0]}/config")
    number = next(it["id"] for it in json.loads(config)["dependencies"] if not it["backend_fn"])
    body = json.dumps({"data": [], "fn_index": number, "session_hash": "a"}).encode()
    assert ask(f"{served[0]}/gradio_api/run/predict", body)[0] == 404


def test_json_is_judged_whatever_it_calls_itself(served: tuple[str, Desk]) -> None:
    body = json.dumps({"data": ["x" * 22]}).encode()
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/json"):
        status, _, answer = ask(f"{served[0]}/gradio_api/run/status", body, {"content-type": kind})
        assert status == 422
        assert b"status takes 2 values" in answer


def test_a_clip_without_the_mark_of_a_file_is_none(
    served: tuple[str, Desk], tmp_path: Path
) -> None:
    body = json.dumps({"data": [{"path": "x"}, "", "", 40, 1024, 20000, ""]}).encode()
    status, _, answer = ask(f"{served[0]}/gradio_api/run/video_to_3d", body)
    assert status == 422
    assert b"must be a file that was uploaded here" in answer
