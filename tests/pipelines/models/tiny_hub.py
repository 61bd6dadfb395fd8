"""A Hugging Face Hub in miniature over HTTP, for the real client: repositories as folders."""

import hashlib
import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34


class Hub:
    """Serves one repository; its faults are switched on by a test."""

    def __init__(self, repository: str, folder: Path) -> None:
        self.repository = repository
        self.folder = folder
        self.gated = False
        self.cut: dict[str, int] = {}
        """Files whose body ends after so many bytes, once."""
        self.spoilt: set[str] = set()
        """Files whose body is not what their digest says."""
        self.fetched: list[tuple[str, int]] = []
        """Each body asked for, and from which byte."""
        self.endpoint = ""

    def files(self) -> dict[str, bytes]:
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def serve(hub: Hub) -> Generator[Hub, None, None]:
    """Run a Hub on a free port until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    hub.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def _answer(self, body: bool) -> None:
            path = unquote(urlsplit(self.path).path)
            api, plain = f"/api/models/{hub.repository}/", f"/{hub.repository}/resolve/"
            if path.startswith(api):
                self._api(path[len(api) :])
            elif path.startswith(plain):
                self._file(path[len(plain) :], body)
            else:
                self._json(404, {"error": "Repository not found"}, "RepoNotFound")

        def _api(self, rest: str) -> None:
            kind, _, revision = rest.partition("/")
            if revision.split("/")[0] not in ("main", COMMIT):
                self._json(404, {"error": "Invalid rev"}, "RevisionNotFound")
            elif kind == "revision":
                self._json(200, {"id": hub.repository, "sha": COMMIT, "siblings": []})
            else:
                entries = [
                    {
                        "type": "file",
                        "path": name,
                        "size": len(data),
                        "oid": hashlib.sha1(data).hexdigest(),
                        **({"lfs": _lfs(data)} if name.endswith(".safetensors") else {}),
                    }
                    for name, data in hub.files().items()
                ]
                self._json(200, entries)

        def _file(self, rest: str, body: bool) -> None:
            _, _, name = rest.partition("/")
            if hub.gated:
                self._json(403, {"error": "Access is restricted"}, "GatedRepo")
                return
            data = hub.files().get(name)
            if data is None:
                self._json(404, {"error": "Entry not found"}, "EntryNotFound")
                return
            large = name.endswith(".safetensors")
            digest = hashlib.sha256(data) if large else hashlib.sha1(data)
            spoilt = bytes(255 - byte for byte in data) if name in hub.spoilt else data
            start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
            if body:
                hub.fetched.append((name, start))
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{digest.hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(data) - start))
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.end_headers()
            if body:
                cut = hub.cut.pop(name, None)
                self.wfile.write(spoilt[start : cut if cut is not None else len(data)])
                self.close_connection = self.close_connection or cut is not None

        def _json(self, status: int, value: object, code: str = "") -> None:
            data = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            if code:
                self.send_header("X-Error-Code", code)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

    return Handler


def _lfs(data: bytes) -> dict[str, object]:
    return {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
