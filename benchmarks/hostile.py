"""python benchmarks/hostile.py: two thousand hostile or broken requests on the program.

Fuzzed uploads, paths, prompts, ids, events and endpoints (`benchmarks/attacks.py`), drawn from a
seed, while somebody else's job waits that they are not to see nor touch. Printed are the answers
that say that the server is at fault; what of tracebacks, paths or that job a visitor got to see;
the files that appeared outside the program's two folders; and whether the server still does its
work afterwards. Nothing, nothing, nothing and yes is what is hoped for.
"""

import argparse
import json
import random
import signal
import socket
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.attacks import UPLOADED, Shot, Target, draw, multipart
from benchmarks.load import ROOT, call, memory_mib, start_program, submit

GIVEAWAYS = (b"Traceback", b"site-packages", b'File "', b"sqlite3.", str(ROOT).encode(), b"root:x:")

SECRET = "a vase that nobody else shall hear of"
LIVE = ("queued", "running")
WELL_SECONDS = 600.0
STREAM_SECONDS = 1.0
"""How long is listened to an answer that never ends."""


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
    faults: list[str] = field(default_factory=list)
    """Requests whose answers were from 500 on: the server was at fault and not who asked."""
    page_mib: tuple[float, float] = (0.0, 0.0)
    """The memory of the page's process before and after."""
    well: bool = False
    """Whether health is fine and a good request is still taken and done afterwards."""


def fire(url: str, shot: Shot) -> tuple[int, bytes]:
    """Return the status and the whole answer of one request; 0 where nothing was answered."""
    body = shot.body
    if shot.upload is not None and body is not None:
        path = _upload(url, shot.upload)
        body = body.replace(json.dumps(UPLOADED).encode(), json.dumps(path).encode())
    method = shot.method or ("GET" if body is None else "POST")
    lines = [f"{method} {shot.path} HTTP/1.1", "host: localhost", "connection: close"]
    lines += [f"content-type: {shot.content_type}", f"content-length: {len(body or b'')}"]
    lines += [f"{name}: {value}" for name, value in shot.headers]
    # Byte for byte, for a client's library would refuse to send much of this.
    head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
    if shot.raw is not None:
        # The server may wait for more of it, for ever.
        return exchange(url, shot.raw, STREAM_SECONDS)
    return exchange(url, head + (body or b""), 60.0)


def _upload(url: str, data: bytes) -> str:
    """Return where the server put a file."""
    kind = {"content-type": "multipart/form-data; boundary=cut"}
    body = multipart(b"a.mp4", data) + b"--cut--\r\n"
    request = urllib.request.Request(f"{url}/gradio_api/upload", body, kind)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())[0]


def exchange(url: str, sent: bytes, patience: float) -> tuple[int, bytes]:
    """Send bytes and return the status and all that comes back; of what never ends, the start."""
    host, _, port = url.removeprefix("http://").partition(":")
    answer = b""
    with (
        suppress(OSError),
        socket.create_connection((host, int(port)), timeout=patience) as connection,
    ):
        with suppress(OSError):
            connection.sendall(sent)
        deadline = time.monotonic() + patience
        while len(answer) < 1 << 20 and time.monotonic() < deadline:
            part = connection.recv(1 << 16)
            if not part:
                break
            if b"event-stream" in answer + part:
                deadline = min(deadline, time.monotonic() + STREAM_SECONDS)
                connection.settimeout(STREAM_SECONDS)
            answer += part
    status = answer.split(b" ", 2)[1:2] if answer.startswith(b"HTTP/") else []
    return int(status[0]) if status else 0, answer


def bombard(url: str, num_requests: int, seed: int, num_at_once: int = 8) -> Findings:
    """Return what came of so many requests on a server."""
    chance = random.Random(seed)
    victim = submit(url, SECRET, 7)
    target = Target(events=_events(url), victim=victim["job"])
    secrets = (*GIVEAWAYS, SECRET.encode(), victim["key"].encode())
    shots = [draw(chance, target) for _ in range(num_requests)]
    findings = Findings(num_requests=num_requests)
    with ThreadPoolExecutor(num_at_once) as attackers:
        for shot, (status, answer) in zip(
            shots, attackers.map(lambda shot: fire(url, shot), shots), strict=True
        ):
            findings.statuses[status] = findings.statuses.get(status, 0) + 1
            said = f"{status} {shot.path[:80]} {(shot.raw or shot.body or b'')[:300]!r}"
            if status >= 500:
                findings.faults.append(f"{said} -> {answer[-200:]!r}")
            asked = shot.path.encode() + (shot.body or b"")
            # What the answer only repeats is not the server's own.
            if any(word in answer and word not in asked for word in secrets):
                findings.told_too_much.append(said)
    findings.well = _is_well(url, victim)
    return findings


def _events(url: str) -> dict[int, int]:
    """Return the page's events by their number, and how many values each takes."""
    with urllib.request.urlopen(f"{url}/config", timeout=60) as answer:
        events = json.loads(answer.read())["dependencies"]
    return {event["id"]: len(event["inputs"]) for event in events}


def _is_well(url: str, victim: dict[str, Any]) -> bool:
    """Return whether the victim's job and one more are done, however many bad ones came between."""
    jobs = [victim, submit(url, "a chair", 7)]
    deadline = time.monotonic() + WELL_SECONDS
    while any(job["state"] in LIVE for job in jobs) and time.monotonic() < deadline:
        time.sleep(0.5)
        jobs = [call(url, "status", job["job"], job["key"]) for job in jobs]
    with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
        return answer.status == 200 and [job["state"] for job in jobs] == ["done", "done"]


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
            before_mib = memory_mib(program.pid)
            found = bombard(url, args.requests, args.seed)
            found.page_mib = (before_mib, memory_mib(program.pid))
            inside = {path.name for path in Path(folder).iterdir()}
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)
    new = (files_of(*rooms) | set(ROOT.glob("*"))) - before
    found.strays = sorted(str(path) for path in new) + sorted(inside - {"runs", "served"})
    print(f"requests                    {found.num_requests}")
    print(f"statuses                    {dict(sorted(found.statuses.items()))}")
    print(f"faults of the server's own  {len(found.faults)}")
    print(f"told a visitor too much     {len(found.told_too_much)}")
    print(f"files outside the folders   {len(found.strays)}")
    print(f"the server is well          {'yes' if found.well else 'no'}")
    print("the page's memory           {:.0f} MiB, then {:.0f}".format(*found.page_mib))
    for line in [*found.faults, *found.told_too_much, *found.strays]:
        print(line)
    if args.json:
        args.json.write_text(json.dumps(asdict(found), indent=1) + "\n")
    sys.exit(bool(found.faults or found.told_too_much or found.strays or not found.well))


if __name__ == "__main__":
    main()
