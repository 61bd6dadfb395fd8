"""python benchmarks/page_cpu.py: what looking at the page costs while the 3D is built.

The program as it is shipped makes a video and then, with the page open in Chromium, its mesh. On a
machine without a GPU the browser draws with the processor that the work needs too. Printed is how
much of a core each process took from the press on the button to the mesh, and the seconds of that.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import start_program

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
PROMPT = "a snowy pine tree"
PATIENCE_MS = 600_000
TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds() -> dict[str, float]:
    """Return the processor time of this process's descendants so far, by what they are."""
    parents, spent, names = {}, {}, {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            # Chromium rewrites its children's as one string.
            line = (entry / "cmdline").read_text().replace("\0", " ").split(" ")
        except OSError:
            continue
        pid = int(entry.name)
        parents[pid] = int(fields[1])
        spent[pid] = (int(fields[11]) + int(fields[12])) / TICKS
        names[pid] = _name(line)
    total: dict[str, float] = {}
    for pid, seconds in spent.items():
        above = pid
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() and pid != above and names[pid]:
            total[names[pid]] = total.get(names[pid], 0.0) + seconds
    return total


def _name(line: list[str]) -> str:
    """Return what a process is called here; nothing for what is none of the program's."""
    kind = next((word.partition("=")[2] for word in line if word.startswith("--type=")), "")
    if kind:
        return f"browser: {kind}"
    if "chrom" in line[0]:
        return "browser: main"
    if "pipelines.jobs.worker" in line:
        return "worker"
    return "page's server" if "app.py" in line else ""


def watch_a_build(page: Page, url: str) -> tuple[dict[str, float], float]:
    """Return each process's processor seconds while the mesh is built, and how long that took."""
    page.set_default_timeout(PATIENCE_MS)
    page.goto(url)
    page.wait_for_selector("#cost p")
    page.fill("#prompt textarea", PROMPT)
    page.click("#generate")
    page.wait_for_selector("#film")
    page.click("[data-act=build]")
    page.wait_for_selector("#status .bar")
    before, begin = processor_seconds(), time.monotonic()
    page.wait_for_selector("#report .verdict", state="attached")
    seconds = time.monotonic() - begin
    after = processor_seconds()
    return {name: after[name] - before.get(name, 0.0) for name in after}, seconds


def main() -> None:
    """Measure and print; `--json` writes it too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="the page as it looks at the end")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        program, url = start_program(Path(folder))
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            spent, seconds = watch_a_build(page, url)
            if args.picture:
                page.screenshot(path=args.picture)
        finally:
            browser.close()
            program.send_signal(signal.SIGTERM)
            program.wait(60)
    shares = {name: cpu / seconds for name, cpu in sorted(spent.items(), key=lambda it: -it[1])}
    print(f"from the button to the mesh {seconds:8.1f} s")
    for name, share in shares.items():
        print(f"{name:24} {share:8.2f} of a core {spent[name]:8.1f} s")
    if args.json:
        args.json.write_text(json.dumps({"seconds": seconds, "cpu": spent}, indent=1) + "\n")


if __name__ == "__main__":
    main()
