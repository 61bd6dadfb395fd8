"""The page in Chromium, on the program as it is shipped: from a prompt to a mesh on disk."""

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
from pathlib import Path

import pytest
import trimesh
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from pipelines.jobs.supervisor import PROJECT_ROOT

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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
START_SECONDS, RESULT_SECONDS = 90, 400
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("page")
    environment = {
        **os.environ,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "served"),
        "LATHE_RUNS": str(folder / "runs"),
    }
    program = subprocess.Popen([sys.executable, "app.py"], cwd=PROJECT_ROOT, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(address, program)
        yield address
    finally:
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) is not None


def _wait_until_it_answers(address: str, program: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert program.poll() is None, "the program ended before it answered"
        try:
            urllib.request.urlopen(address, timeout=2).close()
            return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"nothing answered at {address} within {START_SECONDS} s")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "these tests need Chromium: install it or name it in CHROMIUM"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser had to complain of; each test asserts that it is nothing."""
    return []


@pytest.fixture
def visitor(browser: Browser, url: str, complaints: list[str]) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(30_000)
    context.on(
        "console",
        lambda line: complaints.append(line.text) if line.type == "error" else None,
    )
    context.on("weberror", lambda error: complaints.append(str(error.error)))

    def watch(request_url: str) -> None:
        if not request_url.startswith((url, "data:", "blob:")):
            complaints.append(f"asked another host: {request_url}")

    context.on("request", lambda request: watch(request.url))
    yield context
    context.close()


def enter(visitor: BrowserContext, url: str) -> Page:
    page = visitor.new_page()
    page.goto(url)
    page.wait_for_selector("#prompt textarea")
    return page


def ask(page: Page, prompt: str) -> None:
    page.fill("#prompt textarea", prompt)
    page.click("#generate")
    page.wait_for_selector(".bar", timeout=20_000)


def mesh_is_drawn(page: Page) -> bool:
    """Whether the viewer's picture has an object on it, and not one flat colour."""
    page.locator("#mesh").scroll_into_view_if_needed()
    page.wait_for_function("() => document.querySelector('model-viewer')?.modelIsVisible")
    # The shading of the background and the shadow is grey; count how many colours are not.
    script = """async () => {
        const viewer = document.querySelector('model-viewer');
        const picture = new Image();
        picture.src = viewer.toDataURL('image/png');
        await picture.decode();
        const canvas = document.createElement('canvas');
        canvas.width = canvas.height = 64;
        const context = canvas.getContext('2d');
        context.drawImage(picture, 0, 0, 64, 64);
        const data = context.getImageData(0, 0, 64, 64).data;
        const colours = new Set();
        for (let i = 0; i < data.length; i += 4)
            if (data[i + 3] > 200) colours.add(data.slice(i, i + 3).map(c => c >> 3).join());
        return colours.size;
    }"""
    return page.evaluate(script) > 8


def test_from_a_prompt_to_a_mesh_on_disk_though_the_tab_was_closed_between(
    visitor: BrowserContext, url: str, complaints: list[str], tmp_path: Path
) -> None:
    page = enter(visitor, url)
    page.click("#examples button:first-child")
    page.wait_for_function("() => document.querySelector('#prompt textarea').value.length > 3")
    prompt = page.input_value("#prompt textarea")
    page.click("#generate")
    page.wait_for_selector(".preview.video img", timeout=90_000)
    assert page.locator(".stages .now").inner_text() == "Orbit video"
    assert "Nearest things the model knows" in page.inner_text("#known")
    page.close()

    page = enter(visitor, url)
    page.wait_for_selector(".job-title")
    assert page.inner_text(".job-title") == prompt
    page.wait_for_selector("#orbit-video video", timeout=RESULT_SECONDS * 1000)
    page.wait_for_function("() => document.querySelector('#orbit-video video').currentTime > 0.1")
    page.wait_for_selector("#forming img", timeout=RESULT_SECONDS * 1000)
    page.wait_for_selector("#report .verdict", timeout=RESULT_SECONDS * 1000)
    assert mesh_is_drawn(page)

    for button, name in (("#download-glb", "mesh.glb"), ("#download-mp4", "orbit.mp4")):
        with page.expect_download() as download:
            page.click(button)
        download.value.save_as(tmp_path / name)
    mesh = trimesh.load(tmp_path / "mesh.glb").to_geometry()
    assert len(mesh.faces) >= 500
    assert mesh.visual.material.baseColorTexture is not None
    assert (tmp_path / "orbit.mp4").read_bytes()[4:8] == b"ftyp"
    assert not page.locator("#cancel").is_visible()

    page.set_viewport_size(PHONE)
    page.wait_for_timeout(500)
    for shown in ("#orbit-video video", "#mesh model-viewer"):
        box = page.locator(shown).bounding_box()
        assert box is not None
        assert box["width"] > 0.8 * PHONE["width"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert complaints == []


def test_cancel_stops_a_running_job_within_two_seconds(
    visitor: BrowserContext, url: str, complaints: list[str]
) -> None:
    page = enter(visitor, url)
    ask(page, "a wooden table")
    page.wait_for_selector(".preview.video img", timeout=90_000)
    start = time.monotonic()
    page.click("#cancel")
    page.wait_for_selector("#status .notice")
    assert time.monotonic() - start < 2.0
    assert page.inner_text("#status .notice") == "Cancelled."
    assert not page.locator("#cancel").is_visible()
    assert complaints == []


def test_another_visitor_sees_nothing_of_it(
    visitor: BrowserContext, browser: Browser, url: str, complaints: list[str]
) -> None:
    page = enter(visitor, url)
    ask(page, "a secret wooden table")
    stranger = browser.new_context()
    other = enter(stranger, url)
    other.wait_for_selector(".nothing-yet")
    other.wait_for_timeout(1500)
    assert "secret" not in other.inner_text("body")
    stranger.close()
    page.click("#cancel")
    page.wait_for_selector("#status .notice")
    assert complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_a_wrong_prompt_gets_a_sentence(
    browser: Browser, url: str, scheme: str
) -> None:
    context = browser.new_context(viewport=PHONE, color_scheme=scheme, has_touch=True)
    page = enter(context, url)
    page.fill("#prompt textarea", "   ")
    page.click("#generate")
    page.wait_for_selector("#form-error .notice")
    assert page.inner_text("#form-error").startswith("The prompt is empty; say what to make")
    page.click("#advanced button")
    page.wait_for_selector("#advanced input")
    page.wait_for_timeout(500)
    too_wide = page.evaluate(
        "() => [...document.querySelectorAll('main *')].filter("
        "e => e.getBoundingClientRect().right > innerWidth + 1 && getComputedStyle(e).position "
        "!== 'absolute').map(e => e.id + '.' + e.className)"
    )
    assert too_wide == []
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    context.close()
