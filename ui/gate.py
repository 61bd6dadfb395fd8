"""What programs ask by plain HTTP is looked at before Gradio does.

Gradio answers every mistake of a caller's with status 500, and most with no words at all. Here a
wrong request is told what is wrong with it, with a status that says whose fault it is: 400 for what
is no JSON, 404 for what there is not, 422 for all else. Values at the end that have defaults may be
left out.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.desk import NOT_YOURS
from ui.endpoints import Endpoints
from ui.events import NO_EVENT, check_event
from ui.upload_endpoints import UploadEndpoints
from ui.words import sentence

API_PATH = "/gradio_api/"
NAMED_PATH = re.compile(API_PATH + r"(?:run|api|call)/(\w+)/?")
JOIN_PATH = f"{API_PATH}queue/join"
BY_NUMBER = "predict"
"""Stands for a name where an event is meant by its number, as the page itself does."""
FILE_MARK = {"_type": "gradio.FileData"}
NO_JSON = "The body is not JSON."
NO_DATA = "The body must be an object with a list of values as its “data”."
FAILED = "Something went wrong on the server, which has noted it; try again later."


class Gate:
    """ASGI middleware around Gradio's API."""

    def __init__(self, app: ASGIApp, uploads: Path) -> None:
        self.app = app
        self.uploads = uploads.resolve()
        self.parameters = {
            name: list(inspect.signature(function).parameters.values())[1:]
            for name, function in [*vars(Endpoints).items(), *vars(UploadEndpoints).items()]
            if not name.startswith("_")
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on with missing values filled in."""
        if not _is_asked(scope):
            await self.app(scope, receive, send)
            return
        try:
            body = self._checked(scope, await _whole_body(receive))
        except HTTPException as refusal:
            # Of `_checked`, or of `ui.guard`, which found the body too large as it was read.
            await JSONResponse({"error": refusal.detail}, refusal.status_code)(scope, receive, send)
            return
        headers = MutableHeaders(scope=scope)
        headers["content-length"] = str(len(body))
        told = _with_words(send) if NAMED_PATH.fullmatch(scope["path"]) else send
        try:
            await self.app(scope, _again(body, receive), told)
        except KeyError:
            # Gradio looks the event up by its number before it answers anything.
            if scope["path"].rstrip("/") != JOIN_PATH:
                raise
            await JSONResponse({"error": NO_EVENT}, 404)(scope, receive, send)

    def _checked(self, scope: Scope, body: bytes) -> bytes:
        """Return the body that Gradio is to see.

        Raises:
            HTTPException: It is no JSON, or does not fit the endpoint.
        """
        asked, path = _parsed(body), scope["path"]
        named = NAMED_PATH.fullmatch(path)
        name = named[1] if named else None
        if name == BY_NUMBER or path.rstrip("/") == JOIN_PATH:
            _check_join(asked)
            # The program that is being served says itself what it has.
            page = scope["app"].get_blocks()
            name = check_event(page, asked.get("fn_index"), asked.get("data"), self._is_upload)
        if name not in self.parameters:
            return body
        if not isinstance(asked, dict) or not isinstance(asked.get("data"), list):
            raise HTTPException(422, NO_DATA)
        parameters, values = self.parameters[name], asked["data"]
        self._check_count(name, values)
        for parameter, value in zip(parameters, values, strict=False):
            self._check(parameter, value)
        rest = [it.default for it in parameters[len(values) :]]
        return json.dumps({**asked, "data": values + rest}).encode() if rest else body

    def _check_count(self, name: str, values: list[Any]) -> None:
        parameters = self.parameters[name]
        needed = sum(it.default is it.empty for it in parameters)
        if not needed <= len(values) <= len(parameters):
            some = f"{needed} to {len(parameters)}" if needed < len(parameters) else f"{needed}"
            names = ", ".join(it.name for it in parameters) or "none"
            raise HTTPException(422, f"{name} takes {some} values ({names}), not {len(values)}.")

    def _check(self, parameter: inspect.Parameter, value: Any) -> None:
        if parameter.name in ("clip", "picture"):
            if value is not None and not self._is_upload(value):
                raise HTTPException(
                    422, f"The {parameter.name} must be a file that was uploaded here."
                )
            return
        what = _misfit(str(parameter.annotation), value)
        if what:
            raise HTTPException(422, f"{parameter.name} must be {what}.")

    def _is_upload(self, value: Any) -> bool:
        path = value.get("path") if isinstance(value, dict) else None
        if not isinstance(path, str) or "\0" in path or value.get("meta") != FILE_MARK:
            return False
        # What is fetched from elsewhere is refused by `ui.fetching`, with words of its own.
        if path.startswith(("http://", "https://")):
            return True
        try:
            found = Path(path).resolve()
            return found.is_relative_to(self.uploads) and found.is_file()
        except OSError:
            return False


def _misfit(kind: str, value: Any) -> str:
    """Return what a value must be to be of a parameter's kind; nothing where it is."""
    if value is None and "None" in kind:
        return ""
    if "bool" in kind:
        return "" if isinstance(value, bool) else "true or false"
    if "float" in kind or "int" in kind:
        if not isinstance(value, int | float) or isinstance(value, bool):
            return "a number"
        return "a whole number" if "int" in kind and isinstance(value, float) else ""
    return "" if isinstance(value, str) else "words"


def _is_asked(scope: Scope) -> bool:
    """Return whether a request is to be JSON for one of Gradio's events."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return False
    # Whatever the body calls itself: Gradio would take it for JSON all the same. An agent's is
    # another's to judge, and an upload is none.
    path = scope["path"]
    return path.rstrip("/") == JOIN_PATH or NAMED_PATH.fullmatch(path) is not None


def _parsed(body: bytes) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(constant)

    try:
        # Python would read NaN and half a surrogate pair, and then fail to say them again.
        asked = json.loads(body, parse_constant=refuse)
        json.dumps(asked, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, NO_JSON) from error
    return asked


def _check_join(asked: Any) -> None:
    if not isinstance(asked, dict):
        raise HTTPException(422, "The body must be an object.")
    for name, kind in (("session_hash", str), ("fn_index", int), ("trigger_id", int)):
        if not isinstance(asked.get(name), kind | None):
            what = "words" if kind is str else "a whole number"
            raise HTTPException(422, f"{name} must be {what}.")


async def _whole_body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return what hands a body out once more, and then what else comes."""
    handed_out = False

    async def receiving() -> Message:
        nonlocal handed_out
        if handed_out:
            return await receive()
        handed_out = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


def _with_words(send: Send) -> Send:
    """Return what sends Gradio's own answers, a failure with the status and words that it needs."""
    start: Message | None = None
    body = b""

    async def sending(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start" and message["status"] == 500:
            start = message
            return
        if start is None:
            await send(message)
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        status, words = _blame(body)
        answer = json.dumps({"error": words}).encode()
        headers = MutableHeaders(raw=start["headers"])
        headers["content-length"] = str(len(answer))
        await send({**start, "status": status, "headers": headers.raw})
        await send({"type": "http.response.body", "body": answer})

    return sending


def _blame(body: bytes) -> tuple[int, str]:
    """Return status and words for a failure of Gradio's: what has words is a refusal of ours."""
    try:
        words = json.loads(body).get("error")
    except (ValueError, AttributeError):
        words = None
    if not words:
        return 500, FAILED
    return (404 if words == sentence(NOT_YOURS) else 422), words
