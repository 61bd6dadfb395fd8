"""python benchmarks/footprint.py: start to first paint, and the memory of page and worker at rest.

Starts the program as it is shipped, times its first answer and, in Chromium, until its form is
painted, waits until the worker has loaded its model, and weighs both processes. On a busy machine
the processor's time tells more than the clock's.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.load import children, cpu_seconds, memory_mib, start_program

PAINT = """() => new Promise(done => {
    const painted = performance.getEntriesByName("first-contentful-paint")[0];
    if (painted) return done(painted.startTime);
    new PerformanceObserver(list => done(list.getEntries()[0].startTime))
        .observe({type: "paint", buffered: true});
})"""
FLAGS = ["--no-sandbox", "--disable-background-networking"]
REST_SECONDS = 5.0


def first_paint_seconds(url: str) -> float | None:
    """Return the seconds from asking for the page to its prompt's field, or None without Chromium.

    Painted content alone could be Gradio's own waiting sign.
    """
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        return None
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page()
        begin = time.monotonic()
        page.goto(url)
        page.evaluate(PAINT)
        page.wait_for_selector("#prompt textarea")
        seconds = time.monotonic() - begin
        browser.close()
    return seconds


def main() -> None:
    """Measure once and print; `--json` also writes the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        program, url = start_program(Path(folder))
        try:
            answer = time.monotonic() - begin
            answer_cpu = cpu_seconds(program.pid)
            paint = first_paint_seconds(url)
            while json.loads(urllib.request.urlopen(f"{url}/health").read())["workers"] < 1:
                time.sleep(0.2)
            ready = time.monotonic() - begin
            time.sleep(REST_SECONDS)
            page = memory_mib(program.pid)
            worker = sum(memory_mib(child) for child in children(program.pid))
        finally:
            program.send_signal(signal.SIGTERM)
            program.wait(60)
    found = {
        "seconds_to_first_answer": answer,
        "of_these_on_a_processor": answer_cpu,
        "seconds_from_answer_to_prompt_painted": paint,
        "seconds_to_worker_ready": ready,
        "idle_page_mib": page,
        "idle_worker_mib": worker,
    }
    for name, value in found.items():
        print(f"{name.replace('_', ' '):40} {'not measured' if value is None else f'{value:.1f}'}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
