"""The program on a port of its own, and Chromium to look at it."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from pipelines.jobs.supervisor import PROJECT_ROOT

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
START_SECONDS = 180
PATIENCE_MS = 90_000
DESKTOP = {"width": 1280, "height": 900}


@contextmanager
def program(folder: Path, *command: str) -> Iterator[str]:
    """Run the program with its files in a folder; yield its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "served"),
        "LATHE_RUNS": str(folder / "runs"),
    }
    process = subprocess.Popen([sys.executable, *command], cwd=PROJECT_ROOT, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(address, process)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) is not None


def _wait_until_it_answers(address: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, "the program ended before it answered"
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"nothing answered at {address} within {START_SECONDS} s")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium with WebGL on the processor."""
    assert CHROMIUM, "these tests need Chromium: install it or name it in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program as it is shipped."""
    with program(tmp_path_factory.mktemp("page"), "app.py") as address:
        yield address


@pytest.fixture(scope="module")
def quick_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program with a worker that makes eggs in a second or two."""
    folder = tmp_path_factory.mktemp("quick")
    with program(folder, "-m", "tests.browser.serve") as address:
        yield address


@pytest.fixture
def complaints() -> list[str]:
    """What the browser had to complain of; each test asserts that it is nothing."""
    return []


@pytest.fixture
def visitor(browser: Browser, complaints: list[str]) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport=DESKTOP, accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    listen(context, complaints)
    yield context
    context.close()


def listen(context: BrowserContext, complaints: list[str]) -> None:
    """Note errors, and requests to anywhere but this machine."""
    context.on(
        "console",
        lambda line: complaints.append(line.text) if line.type == "error" else None,
    )
    context.on("weberror", lambda error: complaints.append(str(error.error)))

    def watch(request_url: str) -> None:
        if not request_url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            complaints.append(f"asked another host: {request_url}")

    context.on("request", lambda request: watch(request.url))
