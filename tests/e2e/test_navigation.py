"""The tabs: their addresses, what stays when the task changes, and where their names stand on a wide window and on a phone."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from studio.core.tasks import Inpaint
from tests.e2e.conftest import SCREEN
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
Visit = Callable[..., Window]
PHONE = {"width": 390, "height": 844}


def heading(window: Window) -> str:
    return window.page.get_by_role("heading", level=1).inner_text()


def the_keyboard_skips_the_tabs_and_a_narrower_window_shows_only_those_of_the_open_group(window: Window) -> None:
    press = window.page.keyboard.press
    press("Tab")
    expect(window.page.locator(":focus")).to_have_accessible_name("Skip the tabs")
    press("Enter")
    expect(window.page.get_by_role("heading", level=1)).to_be_focused()
    press("Tab")
    expect(window.field("Prompt")).to_be_focused()
    window.page.set_viewport_size({"width": 1000, "height": 700})
    expect(_link(window, "Inpaint")).to_be_visible()
    expect(_link(window, "Models")).to_be_hidden()
    window.open_tab("Keep")
    expect(_link(window, "Models")).to_be_visible()
    expect(_link(window, "Inpaint")).to_be_hidden()
    window.page.set_viewport_size(SCREEN)
    window.open_tab("Text to image")


def each_tab_has_an_address_that_back_and_reload_keep(window: Window) -> None:
    page = window.page
    expect(page.get_by_role("heading", level=1)).to_have_text("Text to image")
    card = page.locator(".browser-card").first
    window.open_tab("Models")
    expect(page).to_have_url(f"{_home(window)}#models")
    expect(page).to_have_title("Models · Unnoise")
    expect(card).to_be_visible()
    expect(window.field("Prompt")).to_be_hidden()
    page.reload()
    expect(card).to_be_visible()
    assert heading(window) == "Models"
    page.go_back()
    expect(window.field("Prompt")).to_be_visible()
    page.go_forward()
    expect(card).to_be_visible()


def test_the_keyboard_skips_the_tabs_which_have_addresses(window: Window) -> None:
    """One page, on which each part begins where the one before it ended."""
    the_keyboard_skips_the_tabs_and_a_narrower_window_shows_only_those_of_the_open_group(window)
    each_tab_has_an_address_that_back_and_reload_keep(window)


def an_address_that_no_tab_has_opens_the_first_and_opening_a_tab_keeps_the_rest_of_it(window: Window) -> None:
    assert window.page.evaluate("getComputedStyle(document.body).colorScheme") == "dark"
    assert heading(window) == "Text to image"
    expect(_link(window, "Text to image")).to_have_attribute("aria-current", "page")
    window.page.evaluate("window.stayed = true")
    window.open_tab("Models")
    expect(window.page).to_have_url(f"{_home(window)}?__theme=dark#models")
    assert window.page.evaluate("window.stayed")
    window.open_tab("Text to image")


def the_form_and_the_picture_stay_when_the_task_changes(window: Window, studio: FakeStudio) -> None:
    expect(window.page.get_by_text("Describe a picture")).to_be_visible()
    window.open_tab("Inpaint")  # the empty canvas says what the open tab is for
    expect(window.page.get_by_text(Inpaint.help).first).to_be_visible()
    expect(window.page.get_by_text("Describe a picture")).to_have_count(0)
    window.open_tab("Text to image")
    window.fill(Steps="7", Seed="5")
    job = window.make("a red heart")
    window.open_tab("Inpaint")
    expect(window.page.locator("#workbench")).to_have_attribute("data-mode", "inpaint")
    assert (window.job, window.field("Prompt").input_value()) == (job, "a red heart")
    assert (window.field("Steps").input_value(), window.field("Seed").input_value()) == ("7", "5")
    expect(_link(window, "Inpaint")).to_have_attribute("aria-current", "page")
    expect(_link(window, "Text to image")).not_to_have_attribute("aria-current", "page")
    window.open_tab("Text to image")
    assert window.make("a blue ring") != job  # the same Generate


def test_tabs_have_addresses_and_share_one_form(visit: Visit, address: str, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    window = visit(address, query="?__theme=dark#nothing-here")
    an_address_that_no_tab_has_opens_the_first_and_opening_a_tab_keeps_the_rest_of_it(window)
    the_form_and_the_picture_stay_when_the_task_changes(window, studio)


def test_on_a_phone_the_groups_stand_at_the_bottom_and_go_back_to_where_one_was(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    window = visit(address, viewport=PHONE)
    window.open_tab("Inpaint")
    for name in ("Create", "Explore"):
        box = _link(window, name).bounding_box()
        assert box and box["y"] + box["height"] == PHONE["height"] and min(box["width"], box["height"]) >= 44
    window.open_tab("Explore")
    assert heading(window) == "Visualizer"
    window.open_tab("2-D lab")
    window.open_tab("Create")
    assert heading(window) == "Inpaint"
    window.open_tab("Explore")
    assert heading(window) == "2-D lab"
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _link(window: Window, title: str):  # type: ignore[no-untyped-def]
    return window.page.get_by_role("navigation").get_by_role("link", name=title, exact=True, include_hidden=True)


def _home(window: Window) -> str:
    return str(window.page.evaluate("location.origin + '/'"))
