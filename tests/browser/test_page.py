"""The program as it is shipped, its own model at work: from a prompt to a mesh on disk."""

from pathlib import Path

import pytest
import trimesh
from playwright.sync_api import BrowserContext, Page

from pipelines.provenance import read_provenance
from tests.browser.test_studio import enter

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RESULT_MS = 600_000


def mesh_is_drawn(page: Page) -> bool:
    """Whether the viewer's picture has an object on it, and not one flat colour."""
    page.locator("#mesh-step").scroll_into_view_if_needed()
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
    page.wait_for_selector("#film-step .turning")
    assert page.locator(".stages .now").inner_text() == "Video"
    page.close()

    page = enter(visitor, url)
    assert page.inner_text(".job-title") == prompt
    page.wait_for_selector("#film", timeout=RESULT_MS)
    page.wait_for_function("() => document.querySelector('#film').currentTime > 0.1")
    assert "Nearest things the model knows" in page.inner_text("#known")
    page.click("[data-act=build]")
    page.wait_for_selector("#mesh-step :is(.turning, .still)", timeout=RESULT_MS)
    page.wait_for_selector("#report .verdict", timeout=RESULT_MS)
    assert mesh_is_drawn(page)
    for name in ("glb", "mp4"):
        with page.expect_download() as download:
            page.click(f".download[data-format={name}]")
        download.value.save_as(tmp_path / f"kept.{name}")
        assert read_provenance(tmp_path / f"kept.{name}").request.prompt == prompt
    mesh = trimesh.load(tmp_path / "kept.glb").to_geometry()
    assert len(mesh.faces) >= 500
    assert mesh.visual.material.baseColorTexture is not None
    assert complaints == []


def test_another_visitor_sees_nothing_of_it(
    visitor: BrowserContext, url: str, complaints: list[str]
) -> None:
    page = enter(visitor, url)
    page.fill("#prompt textarea", "a secret wooden table")
    page.click("#generate")
    page.wait_for_selector("#status .bar")
    browser = visitor.browser
    assert browser is not None
    stranger = browser.new_context()
    other = enter(stranger, url)
    other.wait_for_timeout(1500)
    assert "secret" not in other.inner_text("body")
    stranger.close()
    # The owner's own tab goes on to its video; cancelling is tried where the work is slow.
    page.wait_for_selector("#film", timeout=RESULT_MS)
    assert complaints == []
