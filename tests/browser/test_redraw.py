"""Drawing a video again, in Chromium."""

import pytest
from playwright.sync_api import BrowserContext

from tests.browser.test_studio import enter, make

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_video_is_drawn_again_by_the_keyboard_as_another_creation(
    visitor: BrowserContext, quick_url: str, complaints: list[str]
) -> None:
    page = enter(visitor, quick_url)
    make(page, "a pebble", straight=True)
    press = page.locator("#report [data-act=redraw]")
    press.focus()
    press.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('.card').length === 2")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.card .badge')]"
        ".every(badge => badge.textContent === '3D')"
    )
    # The new one is shown, in which nothing is left to mend.
    page.wait_for_selector("#report .chart")
    disagree = "document.querySelector('#report').textContent.includes('disagree')"
    page.wait_for_function(f"() => !{disagree}")
    assert page.locator(".card").first.get_attribute("aria-current") == "true"
    page.locator(".card .picture").last.click()
    page.wait_for_function(f"() => {disagree}")
    assert complaints == []
