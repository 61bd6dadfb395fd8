"""Hostile and broken requests, drawn from a seed: what `benchmarks/hostile.py` sends."""

import gzip
import json
import random
import string
from dataclasses import dataclass, field
from typing import Any

from benchmarks.wicked_files import WICKED

PATHS = (
    *("/etc/passwd", "../../../../etc/passwd", "..\\..\\app.py", "app.py", "~/.ssh/id_rsa"),
    *("%2e%2e%2f%2e%2e%2fetc%2fpasswd", "file:///etc/passwd", "http://127.0.0.1:9/x", "\x00"),
    *("//169.254.169.254/latest/meta-data", "jobs.sqlite", "runs/jobs.sqlite", "A" * 5000),
    *("..;/..;/app.py", "....//....//app.py", "%252e%252e%252fapp.py", "/proc/self/environ"),
    *("\uff0e\uff0e/app.py", "C:\\Windows\\win.ini", "a\r\nset-cookie: a=b", "/dev/zero", "."),
)
STRANGE: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**63, 1e308, float(2**53), "", " ", "\u200b", "\x00", "\ud800"),
    *([], {}, [[[[]]]], {"a": {"b": []}}, "x" * 10_000, "' OR 1=1 --", "{{7*7}}", "${7*7}"),
    *("<script>alert(1)</script>", "$(id)", "`id`", "; rm -rf /", "%s%n%x", "椅子" * 400),
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "http://127.0.0.1:9/a.mp4", "meta": {"_type": "gradio.FileData"}},
    {"path": "../app.py", "url": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}},
)
ENDPOINTS = {
    "submit": ["a chair", 7, "embedded", 8, 0, 1, 0, 15, 1024, 20000, True, False, ""],
    "status": ["x" * 22, "y" * 22],
    "cancel": ["x" * 22, "y" * 22],
    "stop": ["x" * 22, "y" * 22],
    "resume": ["x" * 22, "y" * 22],
    "result": ["x" * 22, "y" * 22],
    "jobs": ["y" * 22, ""],
    "models": [],
    "build_3d": ["x" * 22, "y" * 22, 1024, 20000, True],
    "video_to_3d": [None, "a mug", "measure", 40, 1024, 20000, ""],
    "picture_to_3d": [None, "a mug", 7, "", 15, 24, 0, 0, 1024, 20000, True, "", 0],
    "export": ["x" * 22, "y" * 22, "obj"],
    "share": ["x" * 22, "y" * 22, True],
    "rename": ["x" * 22, "y" * 22, "mine"],
    "delete": ["x" * 22, "y" * 22],
}
HEADS = (
    *(b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"GIF89a", b"RIFF\x10\0\0\0WEBP", b"glTF"),
    *(b"#EXTM3U\nfile:///etc/passwd", b"<svg onload=alert(1)>", b"%PDF-1.4", b"PK\3\4", b""),
    *(b"ffconcat version 1.0\nfile /etc/passwd\n", b"RIFF\xff\xff\xff\x7fAVI LIST", b"\x89PNG\r\n"),
)
PLACES = ("file=", "file/", "proxy=", "stream/", "../", "component_server?", "", "call/v2/", "dev/")
ROUTES = (
    *("/", "/config", "/health", "/metrics", "/viewer/", "/studio/", "/assets/", "/static/"),
    *("/svelte/", "/monitoring", "/theme.css", "/login", "/logout", "/gradio_api/mcp/"),
    *("/gradio_api/heartbeat/", "/gradio_api/queue/data?session_hash=", "/gradio_api/deep_link"),
    *("/gradio_api/upload_progress?upload_id=", "/gradio_api/stream/a/b/c/playlist.m3u8"),
    *("/gradio_api/reset", "/gradio_api/cancel", "/gradio_api/component_server"),
    *("/gradio_api/vibe-edit/", "/gradio_api/process_recording", "/gradio_api/dev/reload"),
    *("/gradio_api/custom_component/a/client/component/", "/gradio_api/run-history/connect"),
)
RANGES = (
    *("bytes=0-0", "bytes=-1", "bytes=5-1", "bytes=99999999999999-", "bytes=a-b", "bytes=", "=-"),
    *("bytes=" + "0-1," * 2000 + "2-3", "bytes=0-" + "9" * 400, "lines=1-2", "bytes=-0"),
)
UPLOADED = "\x01the path of what was uploaded\x01"
"""Stands in a body for the place where the server put the file that was uploaded first."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What attackers know of the program that they attack."""

    events: dict[int, int] = field(default_factory=dict)
    """The page's own events: how many values each takes."""
    victim: str = "v" * 22
    """The id of somebody else's job."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One request."""

    path: str
    body: bytes | None = None
    content_type: str = "application/json"
    method: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    upload: bytes | None = None
    """Is uploaded before; `UPLOADED` in the body then becomes its path."""
    raw: bytes | None = None
    """Is sent as it is, in place of all else."""


def draw(chance: random.Random, target: Target) -> Shot:
    """Return one hostile or broken request."""
    kinds = (_call, _call, _queue, _file, _file, _upload, _broken_json, _anything)
    kinds += (_event, _event, _foreign, _swallowed, _ranges, _encoded, _raw, _agent)
    return chance.choice(kinds)(chance, target)


def _call(chance: random.Random, target: Target) -> Shot:
    name = chance.choice(list(ENDPOINTS))
    values: list[Any] = list(ENDPOINTS[name])
    for _ in range(chance.randint(1, 3)):
        if values:
            values[chance.randrange(len(values))] = _strange(chance)
    if chance.random() < 0.15:
        values = values[: chance.randint(0, len(values))] + [_strange(chance)] * chance.randint(
            0, 9
        )
    way = chance.choice(("run", "call", "api", "call/v2"))
    return Shot(path=f"/gradio_api/{way}/{name}", body=_json({"data": values}))


def _strange(chance: random.Random) -> Any:
    if chance.random() < 0.3:
        letters = string.printable + "\u202e\u0000é椅"
        return "".join(chance.choice(letters) for _ in range(chance.randint(0, 600)))
    return chance.choice((*STRANGE, *PATHS))


def _queue(chance: random.Random, target: Target) -> Shot:
    body = {
        "data": [_strange(chance) for _ in range(chance.randint(0, 14))],
        "fn_index": chance.choice((0, 1, 5, 9, -1, 10**9, "a", None)),
        "session_hash": _strange(chance),
        "event_data": _strange(chance),
        "trigger_id": _strange(chance),
    }
    return Shot(path="/gradio_api/queue/join", body=_json(body))


def _event(chance: random.Random, target: Target) -> Shot:
    """One of the page's own events, which no manual names, by its number."""
    number, count = chance.choice(list(target.events.items()) or [(0, 0)])
    values = [chance.choice((None, _strange(chance))) for _ in range(count)]
    acts = ("build", "resume", "stop", "cancel", "rename", "delete", "share", "again", "choose")
    pressed = {"act": chance.choice(acts), "job": target.victim, "text": _strange(chance)}
    body = {
        "data": values,
        "fn_index": number,
        "session_hash": chance.choice(("a", "b", "", "x" * 300)),
        "event_data": chance.choice((pressed, pressed, _strange(chance))),
        "trigger_id": chance.choice((None, 1, 10**9)),
    }
    way = chance.choice(("run/predict", "api/predict", "queue/join"))
    return Shot(path=f"/gradio_api/{way}", body=_json(body))


def _foreign(chance: random.Random, target: Target) -> Shot:
    """Somebody else's job under a key of one's own, and links and files that were not given."""
    names = [name for name, values in ENDPOINTS.items() if values[:1] == ["x" * 22]]
    key = chance.choice(("y" * 22, "", target.victim, "%" * 22, "_" * 22, None))
    if chance.random() < 0.7:
        name = chance.choice(names)
        values = [target.victim, key, *ENDPOINTS[name][2:]]
        return Shot(path=f"/gradio_api/run/{name}", body=_json({"data": values}))
    places = (f"/?share={target.victim}", f"/gradio_api/file=runs/sessions/{target.victim}")
    places += (f"/gradio_api/file=../runs/sessions/x/{target.victim}/mesh.glb",)
    return Shot(path=chance.choice(places), method=chance.choice(("GET", "HEAD")))


def _swallowed(chance: random.Random, target: Target) -> Shot:
    """A file that is not what it seems, uploaded and then handed in."""
    file = {"path": UPLOADED, "meta": {"_type": "gradio.FileData"}}
    data = chance.choice(WICKED)
    if chance.random() < 0.6:
        name = chance.choice(("video_to_3d", "picture_to_3d"))
        values = [file, *ENDPOINTS[name][1:]]
        return Shot(path=f"/gradio_api/run/{name}", body=_json({"data": values}), upload=data)
    takers = [number for number, count in target.events.items() if count == 2] or [0]
    body = {"data": [None, file], "fn_index": chance.choice(takers), "session_hash": "a"}
    return Shot(path="/gradio_api/run/predict", body=_json(body), upload=data)


def _file(chance: random.Random, target: Target) -> Shot:
    what = "".join(f"%{byte:02x}" for byte in chance.choice(PATHS)[:500].encode("utf-8"))
    if chance.random() < 0.3:
        return Shot(path=chance.choice(ROUTES) + what)
    return Shot(path=f"/gradio_api/{chance.choice(PLACES)}{what}")


def _upload(chance: random.Random, target: Target) -> Shot:
    names = chance.choice(PATHS)[:300].encode("unicode_escape").replace(b'"', b"")
    data = chance.choice(
        (chance.choice(HEADS) + chance.randbytes(chance.randint(0, 4000)), *WICKED)
    )
    end = b"--cut--\r\n" if chance.random() < 0.8 else b""
    body = multipart(names, data) + end
    kind = "multipart/form-data; boundary=cut" if chance.random() < 0.9 else "multipart/form-data"
    query = chance.choice(("", "?upload_id=x", "?upload_id=" + "x" * 3000, "?upload_id=%00"))
    return Shot(path=f"/gradio_api/upload{query}", body=body, content_type=kind)


def multipart(name: bytes, data: bytes) -> bytes:
    """Return a file as it is uploaded, without the mark of its end."""
    return (
        b'--cut\r\ncontent-disposition: form-data; name="files"; filename="' + name + b'"\r\n'
        b"content-type: video/mp4\r\n\r\n" + data + b"\r\n"
    )


def _broken_json(chance: random.Random, target: Target) -> Shot:
    whole = _json({"data": ENDPOINTS["submit"]})
    bodies = (whole[: chance.randrange(len(whole))], b"[" * 50_000, b"\xff\xfe\0", b"NaN", b"{}")
    bodies += (whole * 2, b'{"data": ' + b"9" * 100_000 + b"}", b'{"data": [1e999]}', b'"data"')
    path = f"/gradio_api/run/{chance.choice(list(ENDPOINTS))}"
    return Shot(path=path, body=chance.choice(bodies))


def _anything(chance: random.Random, target: Target) -> Shot:
    path = chance.choice(ROUTES) + chance.choice(
        ("", "?a=%00", "?share=" + "x" * 3000, "..%2f" * 9, "?__theme=%3Cscript%3E")
    )
    method = chance.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "TRACE"))
    return Shot(path=path, body=chance.choice((None, b"{}", b"\0" * 999)), method=method)


def _ranges(chance: random.Random, target: Target) -> Shot:
    """Parts of files, and files that changed or did not since."""
    places = ("/viewer/model-viewer.min.js", "/studio/studio.js", "/gradio_api/file=/etc/passwd")
    headers = (("range", chance.choice(RANGES)),)
    headers += (("if-range", chance.choice(('"x"', "Sat, 99 Foo 9999 99:99:99 GMT", "\xff"))),)
    headers += (("if-modified-since", chance.choice(("never", "-1", "9" * 300))),)
    method = chance.choice(("GET", "HEAD"))
    return Shot(path=chance.choice(places), method=method, headers=headers)


def _encoded(chance: random.Random, target: Target) -> Shot:
    """Bodies in encodings that nobody uses, and headers that nobody sends."""
    whole = json.dumps({"data": ENDPOINTS["submit"]})
    body, kind = chance.choice(
        (
            (whole.encode("utf-16"), "application/json; charset=utf-16"),
            (whole.encode("utf-32"), "application/json; charset=utf-32"),
            (b"\xef\xbb\xbf" + whole.encode(), "application/json"),
            (gzip.compress(b" " * (8 << 20)), "application/json"),
            (whole.encode(), "text/plain"),
            (whole.encode(), "application/vnd.api+json"),
            (b"data=%5B%5D", "application/x-www-form-urlencoded"),
        )
    )
    several = (
        *(("content-encoding", "gzip"), ("accept-encoding", "x" * 5000), ("cookie", "a=" * 9000)),
        *(("x-forwarded-host", "evil.example, evil"), ("x-forwarded-for", "\xff" * 50)),
        *(("x-gradio-user", "mcp"), ("x-lathe-caller", "x"), ("authorization", "Basic ====")),
        *(("origin", "https://evil.example"), ("referer", "https://evil.example/?__theme=a")),
        *(("x-forwarded-proto", "javascript"), ("accept-language", "zh" * 2000)),
    )
    name = chance.choice(("submit", "models", "status"))
    headers = tuple(chance.sample(several, chance.randint(0, 4)))
    return Shot(path=f"/gradio_api/run/{name}", body=body, content_type=kind, headers=headers)


def _raw(chance: random.Random, target: Target) -> Shot:
    """What is hardly HTTP."""
    start = b"POST /gradio_api/run/submit HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
    start += b"content-type: application/json\r\n"
    websocket = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    return Shot(
        path="raw",
        raw=chance.choice(
            (
                start + b"content-length: -1\r\n\r\n{}",
                start + b"content-length: 5\r\ncontent-length: 6\r\n\r\n{}",
                start + b"content-length: 99999\r\n\r\n{}",
                start + b"content-length: " + b"9" * 30 + b"\r\n\r\n{}",
                start + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n",
                start
                + b"transfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                start + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
                start + b"x: y\r\n" * 3000 + b"\r\n",
                b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
                b"GET http://169.254.169.254/latest HTTP/1.1\r\nhost: x\r\n\r\n",
                b"GET /..%c0%af..%c0%afetc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
                b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nhost: x\r\n\r\n",
                b"GET /gradio_api/queue/join HTTP/1.1\r\nhost: x\r\n"
                + websocket
                + b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(200),
                b"GET / HTTP/0.9\r\n\r\n",
                b"\r\n" * 2000,
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                chance.randbytes(400),
            )
        ),
    )


def _agent(chance: random.Random, target: Target) -> Shot:
    """What an agent that means no good says to the MCP server."""
    name = chance.choice((*ENDPOINTS, "predict", "../submit", "", _strange(chance)))
    given = {
        "prompt": _strange(chance),
        "job": target.victim,
        "key": _strange(chance),
        "clip": chance.choice(
            (
                "/etc/passwd",
                "file:///etc/passwd",
                "http://127.0.0.1:9/a.mp4",
                "data:,x",
                "data:;",
                {},
            )
        ),
        "seed": _strange(chance),
    }
    some = dict(chance.sample(sorted(given.items()), chance.randint(0, 5)))
    parameters = chance.choice(({"name": name, "arguments": some}, some, None, [], name))
    method = chance.choice(
        ("tools/call", "tools/call", "tools/list", "initialize", "resources/read")
    )
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    if chance.random() < 0.2:
        body = chance.choice(([body] * 50, {}, [], "x", {**body, "jsonrpc": 7}))
    headers = (("accept", "application/json, text/event-stream"),)
    return Shot(path="/gradio_api/mcp/", body=_json(body), headers=headers)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
