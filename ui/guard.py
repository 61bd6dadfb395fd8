"""What stands before every request: headers, an optional password, and limits of size.

LATHE_PASSWORD asks every visitor for it (HTTP Basic, any user name), page, API and MCP alike.
"""

import base64
import os
import secrets
import shutil
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.callers import HEADER, Callers
from ui.doors import is_open

PASSWORD_VARIABLE = "LATHE_PASSWORD"
MAX_BODY_BYTES = 1 << 20
"""Of every request but uploads: words and settings are small."""
TOO_LARGE = f"The request has more than {MAX_BODY_BYTES >> 20} MiB."
MIN_FREE_BYTES = 500 << 20
"""With less on the disk nothing is uploaded any more."""
OPEN_PATHS = ("/health", "/gradio_api/startup-events")
"""What a host may ask without the password, and what Gradio asks itself when it starts."""
UPLOAD_PATH = "/gradio_api/upload"

# Gradio writes scripts and styles into its page and compiles the handlers that run in the browser.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors {ancestors}"
)
SPACE_ANCESTORS = "'self' https://huggingface.co https://*.huggingface.co https://*.hf.space"


def security_headers() -> dict[str, str]:
    """Return the headers of every answer; a Space stands in its host's frame, others in none."""
    on_space = bool(os.environ.get("SPACE_ID"))
    headers = {
        "content-security-policy": POLICY.format(
            ancestors=SPACE_ANCESTORS if on_space else "'self'"
        ),
        "x-content-type-options": "nosniff",
        # A share's link is its token: no other site shall hear of it.
        "referrer-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=()",
    }
    return headers if on_space else {**headers, "x-frame-options": "SAMEORIGIN"}


class Guard:
    """ASGI middleware around the whole program."""

    def __init__(
        self, app: ASGIApp, uploads: Path, callers: Callers, password: str | None = None
    ) -> None:
        self.app = app
        self.uploads = uploads
        self.callers = callers
        self.password = password
        self.headers = security_headers()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass the request on with the answer's headers added."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = self._with_headers(send)
        headers, path = Headers(scope=scope), scope["path"]
        if refusal := self._refusal(path, headers):
            await refusal(scope, receive, send)
            return
        MutableHeaders(scope=scope)[HEADER] = self.callers.name(scope) or ""
        if not path.startswith(UPLOAD_PATH):
            receive = _bounded(receive, MAX_BODY_BYTES)
        await self.app(scope, receive, send)

    def _refusal(self, path: str, headers: Headers) -> Response | None:
        if not is_open(path):
            return PlainTextResponse("There is nothing here.", 404)
        if self.password is not None and path not in OPEN_PATHS and not self._knows(headers):
            challenge = {"www-authenticate": 'Basic realm="Lathe", charset="UTF-8"'}
            return PlainTextResponse("This page asks for a password.", 401, headers=challenge)
        if path.startswith(UPLOAD_PATH):
            if shutil.disk_usage(_existing(self.uploads)).free < MIN_FREE_BYTES:
                return PlainTextResponse("The server's disk is full; try again later.", 507)
        elif _declared(headers) > MAX_BODY_BYTES:
            return _too_large()
        return None

    def _knows(self, headers: Headers) -> bool:
        kind, _, credentials = headers.get("authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(credentials, validate=True)
        except ValueError:
            return False
        given = decoded.partition(b":")[2]
        expected = (self.password or "").encode()
        return kind.lower() == "basic" and secrets.compare_digest(given, expected)

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.headers.items():
                    headers.setdefault(name, value)
            await send(message)

        return sending


def _bounded(receive: Receive, limit: int) -> Receive:
    received = 0

    async def receiving() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            # A body whose length was not declared, or was declared wrongly.
            raise HTTPException(413, TOO_LARGE)
        return message

    return receiving


def _declared(headers: Headers) -> int:
    length = headers.get("content-length", "0")
    return int(length) if length.isdecimal() and len(length) < 19 else MAX_BODY_BYTES + 1


def _too_large() -> JSONResponse:
    return JSONResponse({"error": TOO_LARGE}, 413)


def _existing(path: Path) -> Path:
    return next(place for place in (path, *path.parents) if place.exists())


def password() -> str | None:
    """Return the password that the environment sets, or None."""
    return os.environ.get(PASSWORD_VARIABLE) or None
