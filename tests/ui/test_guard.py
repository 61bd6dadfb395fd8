"""What stands before every request, and what the host may ask."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import InstallationError, RequestError
from pipelines.request import GenerationRequest
from tests.ui.served import served_page
from ui.desk import Desk
from ui.guard import MAX_BODY_BYTES, PASSWORD_VARIABLE, security_headers
from ui.moderation import VARIABLE, check_words, load_moderation

SECRET_PROMPT = "count 1 of nobody's business"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Desk]]:
    with served_page(tmp_path_factory.mktemp("page")) as served:
        yield served


def ask(
    url: str, data: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Message, bytes]:
    request = urllib.request.Request(
        url, data, {"content-type": "application/json", **(headers or {})}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.mark.parametrize(
    "path", ["/", "/config", "/health", "/nowhere", "/gradio_api/file=/etc/passwd"]
)
def test_every_answer_carries_the_security_headers(served: tuple[str, Desk], path: str) -> None:
    _, headers, _ = ask(served[0] + path)
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "SAMEORIGIN"
    assert headers["referrer-policy"] == "same-origin"
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy and "object-src 'none'" in policy
    assert "http" not in policy


def test_a_space_may_stand_in_its_hosts_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACE_ID", "somebody/lathe")
    headers = security_headers()
    assert "x-frame-options" not in headers
    assert "https://huggingface.co" in headers["content-security-policy"]


def test_health_and_metrics_tell_the_host_how_it_fares_and_nothing_of_anybody(
    served: tuple[str, Desk],
) -> None:
    url, desk = served
    session = desk.session(None)
    job_id = desk.submit(GenerationRequest(prompt=SECRET_PROMPT), session)
    desk.wait_until_over(job_id, session, 60.0)
    status, _, body = ask(f"{url}/health")
    assert status == 200
    assert json.loads(body) == {"status": "ok", "workers": 1, "waiting": 0, "running": 0}
    status, _, body = ask(f"{url}/metrics")
    text = body.decode()
    assert status == 200
    assert 'lathe_jobs{state="done"} 1\n' in text
    assert "lathe_workers 1\n" in text
    for secret in (SECRET_PROMPT, session, job_id):
        assert secret not in text


def test_a_body_that_is_too_large_is_refused_with_and_without_its_length(
    served: tuple[str, Desk],
) -> None:
    url, desk = served
    queue = desk.store.queue()
    host, _, port = url.removeprefix("http://").partition(":")
    head = b"POST /gradio_api/run/submit HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    # Not a byte more than what is refused: what a server that hangs up has not read makes the
    # system throw its answer away.
    for body in (
        f"content-length: {MAX_BODY_BYTES + 1}\r\n\r\n".encode(),
        f"transfer-encoding: chunked\r\n\r\n{MAX_BODY_BYTES + 1:x}\r\n".encode()
        + b"x" * (MAX_BODY_BYTES + 1),
    ):
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(head + b"content-type: application/json\r\n" + body)
            answer = b"".join(iter(lambda: connection.recv(1 << 16), b""))
            told = answer.split(b"\r\n\r\n", 1)
            assert b" 413 " in told[0].splitlines()[0]
            assert "1 MiB" in json.loads(told[1])["error"]
    assert desk.store.queue() == queue
    small = json.dumps({"data": []}).encode()
    assert ask(f"{url}/gradio_api/run/submit", small)[0] != 413


@pytest.mark.parametrize(
    ("endpoint", "others"),
    [
        ("video_to_3d", ["a mug", "measure", 40, 1024, 20000, ""]),
        *[("submit", []), ("status", ["y" * 22]), ("jobs", [])],
    ],
)
def test_nothing_is_fetched_from_an_address_in_a_files_place(
    served: tuple[str, Desk], endpoint: str, others: list[Any]
) -> None:
    with socket.socket() as trap:
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(1.0)
        address = f"http://localhost:{trap.getsockname()[1]}/a.mp4"
        file: dict[str, Any] = {"path": address, "url": address, "orig_name": "a.mp4"}
        file["meta"] = {"_type": "gradio.FileData"}
        body = json.dumps({"data": [file, *others]}).encode()
        status, _, answer = ask(f"{served[0]}/gradio_api/run/{endpoint}", body)
        assert status == 422
        assert (b"not fetched" if endpoint == "video_to_3d" else b"must be words") in answer
        with pytest.raises(TimeoutError):
            trap.accept()


def test_with_a_password_nothing_but_the_hosts_question_is_answered_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "söme:secret")
    with served_page(tmp_path) as (url, _):
        assert ask(f"{url}/health")[0] == 200
        closed = ("/", "/config", "/metrics", "/gradio_api/info", "/gradio_api/mcp/")
        for path in closed:
            status, headers, _ = ask(url + path)
            assert status == 401
            assert headers["www-authenticate"].startswith("Basic")
        # "anybody:söme:secret", "anybody:secret", not even base64, another scheme.
        right = "Basic YW55Ym9keTpzw7ZtZTpzZWNyZXQ="
        for wrong in ("Basic YW55Ym9keTpzZWNyZXQ=", "Basic §", right.replace("Basic", "Bearer")):
            assert ask(f"{url}/config", headers={"authorization": wrong})[0] == 401
        for path in closed[:-1]:
            assert ask(url + path, headers={"authorization": right})[0] == 200


def refuse_dragons(words: str) -> str | None:
    if "storm" in words:
        raise RuntimeError("out of order")
    return "No dragons here." if "dragon" in words.casefold() else None


def test_the_hosts_own_word_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "tests.ui.test_guard:refuse_dragons")
    moderate = load_moderation()
    check_words("a chair", moderate)
    with pytest.raises(RequestError, match="No dragons here"):
        check_words("a red Dragon", moderate)
    with pytest.raises(RequestError, match="cannot be checked"):
        check_words("a storm", moderate)
    with served_page(tmp_path, moderate=moderate) as (url, desk):
        values = ["a dragon", 7, "embedded", 24, 0, 0, 0, 15, 1024, 20000, False, True, "", 0]
        body = json.dumps({"data": values}).encode()
        status, _, answer = ask(f"{url}/gradio_api/run/submit", body)
        assert status >= 400
        assert b"No dragons here." in answer
        assert desk.store.queue() == []


@pytest.mark.parametrize("named", ["nowhere:at_all", "json:nothing", ":", "json"])
def test_a_hook_that_is_not_there_is_told_at_the_start(
    named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, named)
    with pytest.raises(InstallationError, match=VARIABLE):
        load_moderation()
