"""The Models tab in a real browser: what is there is listed, found and asked for by name."""

import pytest
from playwright.sync_api import expect

from tests.e2e.window import Window
from tests.ui.fake_desk import FakeDesk

pytestmark = pytest.mark.browser


def test_models_are_listed_searched_and_loaded_by_name(window: Window, desk: FakeDesk) -> None:
    desk.commands.clear()
    page = window.page
    page.get_by_role("tab", name="Models").click()
    rows = page.locator(".shelf-row")
    expect(rows).to_have_count(2)
    expect(page.locator(".shelf-figures")).to_have_text("412 MiB of 8.00 GiB on cpu")
    page.get_by_label("Search models").fill("pixart")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Crayon")
    for name in ("Load Crayon", "Unload all"):
        with page.expect_response(lambda answer: "manage" in (answer.request.post_data or "")):
            page.get_by_role("button", name=name).click()
    asked = [(command.action, command.model) for command in desk.commands]
    assert asked == [("load", "starter/crayon"), ("unload", "")]


def test_on_a_phone_nothing_is_wider_than_the_screen(visit, address, desk) -> None:  # type: ignore[no-untyped-def]
    window = visit(address, viewport={"width": 390, "height": 844})
    window.page.get_by_role("tab", name="Models").click()
    expect(window.page.locator(".shelf-row")).to_have_count(2)
    assert window.page.evaluate("document.documentElement.scrollWidth") <= 390
