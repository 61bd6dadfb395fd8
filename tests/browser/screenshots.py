"""Remakes the page's pictures in docs/, from the program as it is shipped: make screenshots

It asks for four videos and one mesh, so it takes some minutes.
"""

import tempfile
from pathlib import Path

from playwright.sync_api import Browser, Page

from pipelines.jobs.supervisor import PROJECT_ROOT
from tests.browser.conftest import DESKTOP, chromium, program
from tests.browser.test_studio import PHONE, enter

DOCS = PROJECT_ROOT / "docs"
PROMPT = "a snowy pine tree"
WORK_MS = 1_800_000


def main() -> None:
    """Take the pictures."""
    with (
        tempfile.TemporaryDirectory() as folder,
        program(Path(folder), "app.py") as url,
        chromium() as browser,
    ):
        context = browser.new_context(viewport={**DESKTOP, "height": 1000})  # pyright: ignore[reportArgumentType]
        context.set_default_timeout(WORK_MS)
        page = enter(context, url)
        page.fill("#prompt textarea", PROMPT)
        page.click("#variations label:last-child")
        page.click("#generate")
        page.wait_for_function("() => document.querySelectorAll('.tile video').length === 4")
        page.click("[data-act=build]")
        page.wait_for_selector("#report .chart")
        page.wait_for_selector(".download[data-format=dataset]")
        take(page, "studio.png")
        page.locator("#panel").screenshot(path=DOCS / "studio-report.png")
        page.emulate_media(color_scheme="dark")
        page.reload()
        choose_mesh(page)
        take(page, "studio-dark.png")
        page.emulate_media(color_scheme="light")
        state = context.storage_state()
        phone(browser, url, state)


def phone(browser: Browser, url: str, state: object) -> None:
    """Take the same visitor's page on a phone."""
    context = browser.new_context(
        viewport=PHONE,  # pyright: ignore[reportArgumentType]
        has_touch=True,
        device_scale_factor=2,
        storage_state=state,  # pyright: ignore[reportArgumentType]
    )
    context.set_default_timeout(WORK_MS)
    page = enter(context, url)
    choose_mesh(page)
    take(page, "studio-phone.png", "#panel")


def choose_mesh(page: Page) -> None:
    """Look at the creation that was built in 3D."""
    page.wait_for_selector(".card")
    page.locator(".card", has=page.get_by_text("3D", exact=True)).locator(".picture").click()


def take(page: Page, name: str, top: str = "body") -> None:
    """Wait until the mesh is drawn and its video plays, then take the window's picture."""
    page.wait_for_function("() => document.querySelector('model-viewer')?.loaded")
    page.mouse.move(0, 0)
    # What was pressed is still scrolling softly to where it leads.
    page.wait_for_timeout(1500)
    page.locator(top).evaluate("(place) => place.scrollIntoView({behavior: 'instant'})")
    page.wait_for_timeout(4500)
    page.screenshot(path=DOCS / name)


if __name__ == "__main__":
    main()
