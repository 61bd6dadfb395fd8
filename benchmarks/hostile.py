"""python benchmarks/hostile.py: two thousand hostile or broken requests on the program.

Fuzzed uploads, paths, prompts, ids and endpoints, drawn from a seed. Printed are the tracebacks and
paths that a visitor got to see, the files that appeared outside the program's two folders, and
whether the server still does its work afterwards. Nothing, nothing, and yes is what is hoped for.
"""

import argparse
import json
import random
import signal
import string
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import ROOT, call, start_program, submit

PATHS = (
    *("/etc/passwd", "../../../../etc/passwd", "..\\..\\app.py", "app.py", "~/.ssh/id_rsa"),
    *("%2e%2e%2f%2e%2e%2fetc%2fpasswd", "file:///etc/passwd", "http://127.0.0.1:9/x", "\x00"),
    *("//169.254.169.254/latest/meta-data", "jobs.sqlite", "runs/jobs.sqlite", "A" * 5000),
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
}
HEADS = (
    *(b"\0\0\0\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"GIF89a", b"RIFF\x10\0\0\0WEBP", b"glTF"),
    *(b"#EXTM3U\nfile:///etc/passwd", b"<svg onload=alert(1)>", b"%PDF-1.4", b"PK\3\4", b""),
)
GIVEAWAYS = (b"Traceback", b"site-packages", b'File "', b"sqlite3.", str(ROOT).encode(), b"root:x:")


WELL_SECONDS = 600.0


@dataclass(kw_only=True)
class Findings:
    """What came of the requests."""

    num_requests: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    """HTTP statuses; 0 is a connection that was closed."""
    told_too_much: list[str] = field(default_factory=list)
    """Requests whose answers had a traceback or a path of the server in them."""
    strays: list[str] = field(default_factory=list)
    """Files that appeared outside the run folders and the upload cache."""
    num_faults: int = 0
    """Answers from 500 on, which say that the server is at fault and not who asked."""
    well: bool = False
    """Whether health is fine and a good request is still taken and done afterwards."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One request."""

    path: str
    body: bytes | None = None
    content_type: str = "application/json"
    method: str | None = None


def draw(chance: random.Random) -> Shot:
    """Return one hostile or broken request."""
    kinds = (_call, _call, _call, _queue, _file, _upload, _broken_json, _anything)
    return chance.choice(kinds)(chance)


def _call(chance: random.Random) -> Shot:
    name = chance.choice(list(ENDPOINTS))
    values: list[Any] = list(ENDPOINTS[name])
    for _ in range(chance.randint(1, 3)):
        if values:
            values[chance.randrange(len(values))] = _strange(chance)
    if chance.random() < 0.15:
        values = values[: chance.randint(0, len(values))] + [_strange(chance)] * chance.randint(
            0, 9
        )
    way = chance.choice(("run", "call", "api"))
    return Shot(path=f"/gradio_api/{way}/{name}", body=_json({"data": values}))


def _strange(chance: random.Random) -> Any:
    if chance.random() < 0.3:
        letters = string.printable + "\u202e\u0000é椅"
        return "".join(chance.choice(letters) for _ in range(chance.randint(0, 600)))
    return chance.choice((*STRANGE, *PATHS))


def _queue(chance: random.Random) -> Shot:
    body = {
        "data": [_strange(chance) for _ in range(chance.randint(0, 14))],
        "fn_index": chance.choice((0, 1, 5, 9, -1, 10**9, "a", None)),
        "session_hash": _strange(chance),
        "event_data": _strange(chance),
        "trigger_id": _strange(chance),
    }
    return Shot(path="/gradio_api/queue/join", body=_json(body))


def _file(chance: random.Random) -> Shot:
    place = chance.choice(("file=", "file/", "proxy=", "stream/", "../", "component_server?", ""))
    what = "".join(f"%{byte:02x}" for byte in chance.choice(PATHS)[:500].encode("utf-8"))
    return Shot(path=f"/gradio_api/{place}{what}")


def _upload(chance: random.Random) -> Shot:
    names = chance.choice(PATHS)[:300].encode("unicode_escape").replace(b'"', b"")
    data = chance.choice(HEADS) + chance.randbytes(chance.randint(0, 4000))
    end = b"--cut--\r\n" if chance.random() < 0.8 else b""
    body = (
        b'--cut\r\ncontent-disposition: form-data; name="files"; filename="' + names + b'"\r\n'
        b"content-type: video/mp4\r\n\r\n" + data + b"\r\n" + end
    )
    kind = "multipart/form-data; boundary=cut" if chance.random() < 0.9 else "multipart/form-data"
    return Shot(path="/gradio_api/upload", body=body, content_type=kind)


def _broken_json(chance: random.Random) -> Shot:
    whole = _json({"data": ENDPOINTS["submit"]})
    body = chance.choice(
        (
            whole[: chance.randrange(len(whole))],
            b"[" * 50_000,
            b"\xff\xfe\0",
            b"NaN",
            b"{}",
            whole * 2,
        )
    )
    return Shot(path=f"/gradio_api/run/{chance.choice(list(ENDPOINTS))}", body=body)


def _anything(chance: random.Random) -> Shot:
    places = ("/", "/config", "/health", "/metrics", "/gradio_api/mcp/", "/viewer/", "/monitoring")
    path = chance.choice(places) + chance.choice(
        ("", "?a=%00", "?share=" + "x" * 3000, "..%2f" * 9)
    )
    # An agent's GET is answered for as long as the agent likes.
    methods = ("POST", "PUT", "DELETE", "OPTIONS", "PATCH")
    method = chance.choice(methods if "mcp" in path else ("GET", *methods))
    return Shot(path=path, body=chance.choice((None, b"{}", b"\0" * 999)), method=method)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def fire(url: str, shot: Shot) -> tuple[int, bytes]:
    """Return the status and the answer of one request; 0 where the connection was closed."""
    headers = {"content-type": shot.content_type}
    try:
        request = urllib.request.Request(url + shot.path, shot.body, headers, method=shot.method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(1 << 20)
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except (OSError, ValueError):
        return 0, b""


def bombard(url: str, num_requests: int, seed: int, num_at_once: int = 8) -> Findings:
    """Return what came of so many requests on a server."""
    chance = random.Random(seed)
    shots = [draw(chance) for _ in range(num_requests)]
    findings = Findings(num_requests=num_requests)
    with ThreadPoolExecutor(num_at_once) as attackers:
        for shot, (status, answer) in zip(
            shots, attackers.map(lambda shot: fire(url, shot), shots), strict=True
        ):
            findings.statuses[status] = findings.statuses.get(status, 0) + 1
            findings.num_faults += status >= 500
            asked = shot.path.encode() + (shot.body or b"")
            # What the answer only repeats is not the server's own.
            if any(word in answer and word not in asked for word in GIVEAWAYS):
                findings.told_too_much.append(f"{shot.path[:80]} {(shot.body or b'')[:200]!r}")
    findings.well = _is_well(url)
    return findings


def _is_well(url: str) -> bool:
    """Return whether a good request is taken and done, however many bad ones came before."""
    job = submit(url, "a chair", 7)
    deadline = time.monotonic() + WELL_SECONDS
    while job["state"] in ("queued", "running") and time.monotonic() < deadline:
        time.sleep(0.5)
        job = call(url, "status", job["job"], job["key"])
    return job["state"] == "done" and fire(url, Shot(path="/health"))[0] == 200


def files_of(*folders: Path) -> set[Path]:
    """Return every file under some folders, but what Python itself caches."""
    return {
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".git", "node_modules"} & set(path.parts)
    }


def main() -> None:
    """Attack and print; the exit status is 1 where something was found. `--json` writes it too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rooms = [ROOT / room for room in ("ui", "pipelines", "threed", "assets", "docs")]
        before = files_of(*rooms) | set(ROOT.glob("*"))
        program, url = start_program(Path(folder))
        try:
            found = bombard(url, args.requests, args.seed)
            inside = {path.name for path in Path(folder).iterdir()}
        finally:
            program.send_signal(signal.SIGINT)
            program.wait(60)
    new = (files_of(*rooms) | set(ROOT.glob("*"))) - before
    found.strays = sorted(str(path) for path in new) + sorted(inside - {"runs", "served"})
    print(f"requests                    {found.num_requests}")
    print(f"statuses                    {dict(sorted(found.statuses.items()))}")
    print(f"faults of the server's own  {found.num_faults}")
    print(f"told a visitor too much     {len(found.told_too_much)}")
    print(f"files outside the folders   {len(found.strays)}")
    print(f"the server is well          {'yes' if found.well else 'no'}")
    for line in [*found.told_too_much, *found.strays]:
        print(line)
    if args.json:
        args.json.write_text(json.dumps(asdict(found), indent=1) + "\n")
    sys.exit(bool(found.told_too_much or found.strays or not found.well))


if __name__ == "__main__":
    main()
