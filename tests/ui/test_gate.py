"""What plain HTTP is told of its mistakes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ui.served import served_page
from tests.ui.test_guard import ask
from ui.desk import Desk
from ui.gate import NO_JSON

SUBMIT = ["count 1", 7, "embedded", 24, 0, 0, 0, 15, 1024, 20000, True, False, "", 0, "auto", True]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Desk]]:
    with served_page(tmp_path_factory.mktemp("page")) as served:
        yield served


def told(url: str, endpoint: str, values: Any, way: str = "run") -> tuple[int, Any]:
    """Return the status and the error of one request."""
    body = values if isinstance(values, bytes) else json.dumps({"data": values}).encode()
    status, _, answer = ask(f"{url}/gradio_api/{way}/{endpoint}", body)
    return status, json.loads(answer).get("error")


FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
PICTURED = ["", 7, "", 15, 24, 0, 0, 1024, 20000, True, ""]
WRONG = [
    ("status", ["x" * 22], 422, "status takes 2 values (job, key), not 1."),
    ("models", [1], 422, "models takes 0 values (none), not 1."),
    ("submit", [], 422, "submit takes 1 to 16 values (prompt, seed, "),
    ("submit", [*SUBMIT, 0], 422, "not 17."),
    ("submit", ["count 1", "7"], 422, "seed must be a number."),
    ("submit", ["count 1", 7, {}], 422, "model must be words."),
    ("submit", [*SUBMIT[:10], []], 422, "video_only must be true or false."),
    ("submit", [*SUBMIT[:10], "http://127.0.0.1:9/x"], 422, "video_only must be true or false."),
    ("submit", ["count 1", 7.5], 422, "seed must be a whole number."),
    ("submit", ["count 1", None], 422, "seed must be a number."),
    ("submit", [7], 422, "prompt must be words."),
    ("submit", ["   "], 422, "The prompt is empty"),
    ("submit", [*SUBMIT[:8], 1000], 422, "“Texture size” is 1000"),
    ("status", [FILE, ""], 422, "job must be words."),
    ("status", ["x" * 22, "y" * 22], 404, "There is no such job of yours."),
    ("video_to_3d", [FILE, "", "", 40, 1024, 20000, ""], 422, "must be a file that was uploaded"),
    ("video_to_3d", [None, "", "", "40", 1024, 20000, ""], 422, "fov_deg must be a number."),
    ("video_to_3d", [None, "", "", 40, 1024, 20000, ""], 422, "There is no clip"),
    ("picture_to_3d", [FILE, *PICTURED], 422, "The picture must be a file that was uploaded"),
    ("picture_to_3d", [None, *PICTURED], 422, "There is no picture"),
    ("submit", b'{"data": [NaN]}', 400, NO_JSON),
    ("submit", b'{"data": ["\\ud800"]}', 400, NO_JSON),
    ("submit", b'{"data": [', 400, NO_JSON),
    ("submit", b"[" * 50_000, 400, NO_JSON),
    ("submit", b"{}", 422, "with a list of values"),
    ("submit", b"7", 422, "with a list of values"),
]


@pytest.mark.parametrize(("endpoint", "values", "status", "words"), WRONG)
@pytest.mark.parametrize("way", ["run", "api"])
def test_a_wrong_request_is_told_what_is_wrong_and_that_it_is_the_callers(
    served: tuple[str, Desk], endpoint: str, values: Any, status: int, words: str, way: str
) -> None:
    found, said = told(served[0], endpoint, values, way)
    assert found == status
    assert words in said
    assert served[1].store.queue() == []


@pytest.mark.parametrize(
    "body",
    [b"[]", b'{"session_hash": []}', b'{"session_hash": "a", "fn_index": "a", "data": []}'],
)
def test_a_place_in_gradios_queue_is_asked_for_in_the_right_kinds(
    served: tuple[str, Desk], body: bytes
) -> None:
    assert ask(f"{served[0]}/gradio_api/queue/join", body)[0] == 422


@pytest.mark.parametrize("number", [-1, 10**9])
def test_an_event_that_is_not_there_is_not_found(served: tuple[str, Desk], number: int) -> None:
    body = json.dumps({"data": [], "fn_index": number, "session_hash": "a"}).encode()
    assert ask(f"{served[0]}/gradio_api/queue/join", body)[0] == 404


def test_what_is_left_out_at_the_end_is_filled_in_and_what_is_right_goes_through(
    served: tuple[str, Desk],
) -> None:
    url, desk = served
    body = json.dumps({"data": ["count 1", 3]}).encode()
    status, _, answer = ask(f"{url}/gradio_api/run/submit", body)
    assert status == 200
    job = json.loads(answer)["data"][0]
    assert desk.job(job["job"], job["key"]).request.seed == 3
    desk.wait_until_over(job["job"], job["key"], 60.0)
    assert ask(f"{url}/gradio_api/run/models", b'{"data": []}')[0] == 200


def test_a_fault_of_our_own_is_a_500_that_tells_nothing(
    served: tuple[str, Desk], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr(served[1], "jobs", broken)
    status, said = told(served[0], "jobs", ["y" * 22, ""])
    assert status == 500
    assert said.startswith("Something went wrong on the server")
    assert "secret" not in said
