"""The mesh's viewer and what is pressed and dropped, where one answer becomes the next in place."""

import json

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from pipelines.request import GenerationRequest
from tests.browser.conftest import DESKTOP, PATIENCE_MS, listen
from tests.browser.test_studio import PHONE, enter, make

pytestmark = [pytest.mark.browser, pytest.mark.slow]

MEASURED = "() => /wide/.test(document.querySelector('.dimensions')?.textContent ?? '')"
# A file is brought to an element, and perhaps let go there.
DRAG = """([selector, type, text]) => {
    const carried = new DataTransfer();
    carried.items.add(new File([text], "request.json", {type: "application/json"}));
    const event = new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: carried});
    document.querySelector(selector).dispatchEvent(event);
    return [event.defaultPrevented, document.documentElement.classList.contains("dragging")];
}"""


def _shown(page: Page, title: str) -> str:
    """Choose a mesh of the gallery; return its measures once they are there."""
    page.click(f".card:has(.title[value='{title}']) .picture")
    page.wait_for_function(
        "(title) => document.querySelector('model-viewer')?.alt.includes(title)", arg=title
    )
    page.wait_for_function(MEASURED)
    return page.inner_text(".dimensions")


@pytest.fixture
def two_meshes(visitor: BrowserContext, quick_url: str) -> Page:
    page = enter(visitor, quick_url)
    for seed, title in ((1, "a stone"), (2, "a pebble")):
        page.fill("#seed input", str(seed))
        make(page, title, straight=seed == 1)
    page.wait_for_function(
        "() => [...document.querySelectorAll('.card .badge')]"
        ".filter(badge => badge.textContent === '3D').length === 2"
    )
    return page


def test_another_mesh_has_its_own_texture_and_size_in_the_view_that_was_chosen(
    two_meshes: Page, complaints: list[str]
) -> None:
    page = two_meshes
    stone = _shown(page, "a stone")
    page.locator(".views input[value=wires]").check(force=True)
    page.evaluate("() => (window.before = document.querySelector('model-viewer').lathe.texture)")
    pebble = _shown(page, "a pebble")
    assert pebble != stone
    assert page.locator(".views input[value=wires]").is_checked()
    page.wait_for_function(
        "() => document.querySelector('model-viewer').lathe?.texture"
        " && document.querySelector('model-viewer').lathe.texture !== window.before"
    )
    assert page.evaluate("document.querySelector('model-viewer').dataset.view") == "wires"
    page.locator(".views input[value=colour]").check(force=True)
    assert page.evaluate(
        "() => { const {emissiveTexture} = document.querySelector('model-viewer').model"
        ".materials[0]; return emissiveTexture.texture !== window.before }"
    )
    # Under another title it is the same mesh, which is not loaded anew.
    title = page.locator(".card .title").first
    title.fill("my pebble")
    title.press("Enter")
    page.wait_for_function("() => document.querySelector('.job-title').textContent === 'my pebble'")
    page.wait_for_function(MEASURED)
    assert page.inner_text(".dimensions") == pebble
    assert complaints == []


def test_a_title_that_is_emptied_is_the_prompt_again_and_one_that_is_composed_waits(
    two_meshes: Page, complaints: list[str]
) -> None:
    page = two_meshes
    title = page.locator(".card .title").first
    title.fill("石")
    title.evaluate(
        "(field) => field.dispatchEvent(new KeyboardEvent('keydown',"
        " {key: 'Enter', bubbles: true, isComposing: true}))"
    )
    assert title.evaluate("(field) => field === document.activeElement")
    title.fill("")
    title.press("Enter")
    page.wait_for_function("() => document.querySelector('.card .title').value === 'a pebble'")
    assert complaints == []


def test_a_file_may_be_dropped_anywhere(
    visitor: BrowserContext, quick_url: str, complaints: list[str]
) -> None:
    page = enter(visitor, quick_url)
    text = json.dumps({**vars(GenerationRequest(prompt="a dropped stone", seed=17))})
    assert page.evaluate(DRAG, ["#panel", "dragover", text]) == [True, True]
    # The places for clips and pictures take theirs themselves.
    page.click("#kinds button[role=tab]:has-text('clip')")
    assert page.evaluate(DRAG, ["#clip", "dragover", text])[1] is False
    page.click("#kinds button[role=tab] >> nth=0")
    for place in ("#panel", "#restore"):
        page.fill("#prompt textarea", "something else")
        page.evaluate(DRAG, [place, "dragover", text])
        assert page.evaluate(DRAG, [place, "drop", text]) == [True, False]
        page.wait_for_function(
            "() => document.querySelector('#prompt textarea').value === 'a dropped stone'"
        )
    assert complaints == []


def test_a_refused_press_is_said_in_sight_and_may_be_pressed_again(
    browser: Browser, quick_url: str, complaints: list[str]
) -> None:
    context = browser.new_context(viewport=PHONE, reduced_motion="reduce")  # pyright: ignore[reportArgumentType]
    context.set_default_timeout(PATIENCE_MS)
    listen(context, complaints)
    page = enter(context, quick_url)
    page.click("#mesh-settings > button")
    faces = page.get_by_label("triangles").first
    make(page, "a stone")
    page.wait_for_selector("[data-act=build]")
    faces.fill("5")
    faces.blur()
    page.click("[data-act=build]")
    page.wait_for_selector("#form-error .notice.error")
    page.wait_for_function(
        "() => { const {top, bottom} = document.querySelector('#form-error .notice.error')"
        ".getBoundingClientRect(); return top > -1 && bottom <= innerHeight }"
    )
    faces.fill("2000")
    faces.blur()
    page.wait_for_selector("[data-act=build]:enabled")
    page.click("[data-act=build]")
    page.wait_for_selector("model-viewer")
    context.close()
    assert complaints == []


def test_where_nothing_is_drawn_in_3d_words_say_so(
    browser: Browser, quick_url: str, complaints: list[str]
) -> None:
    context = browser.new_context(viewport=DESKTOP)  # pyright: ignore[reportArgumentType]
    context.set_default_timeout(PATIENCE_MS)
    listen(context, complaints)
    context.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page = enter(context, quick_url)
    make(page, "a stone", straight=True)
    page.wait_for_selector("#mesh-step p.in-square:has-text('draws no 3D')")
    page.wait_for_selector(".download[data-format=glb]")
    context.close()
