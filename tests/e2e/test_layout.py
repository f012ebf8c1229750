"""Where things stand: what scrolls and what stays, folds, the sheet of a phone, the height of the picture, the shortcuts."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
Visit = Callable[..., Window]
PHONE = {"width": 390, "height": 844}


@pytest.fixture
def phone(visit: Visit, address: str, studio: FakeStudio) -> Window:
    return visit(address, viewport=PHONE)


def box(locator: Locator) -> dict[str, float]:
    found = locator.bounding_box()
    assert found is not None
    return dict(found)


def stage(window: Window) -> dict[str, float]:
    return box(window.page.locator("#workbench .stage"))


def the_settings_scroll_by_themselves_and_generate_stays_in_reach(window: Window) -> None:
    window = Window(window.page)  # which was loaded anew
    window.page.set_viewport_size({"width": 1280, "height": 640})
    window.fold("Advanced").click()
    before = box(window.generate)
    window.field("Previews").scroll_into_view_if_needed()
    expect(window.field("Previews")).to_be_in_viewport()
    assert box(window.generate) == before
    assert window.page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def a_folded_group_says_what_is_set_in_it_and_is_remembered(window: Window) -> None:
    sampling = window.fold("Sampling")
    expect(sampling).to_have_attribute("aria-expanded", "true")
    sampling.click()
    expect(window.field("Steps")).to_be_hidden()
    expect(sampling).to_have_accessible_name("Sampling DPM++ 2M, 12 steps, CFG 4")
    window.field("Model").select_option("starter/crayon")
    expect(sampling).to_have_accessible_name("Sampling DPM++ 2M, 8 steps, CFG 3")
    window.fill(Seed="77")
    window.fold("Output").click()
    expect(window.fold("Output")).to_have_accessible_name("Output seed 77, 1 image")  # this model makes only one size
    window.page.reload()
    expect(sampling).to_have_accessible_name("Sampling DPM++ 2M, 8 steps, CFG 3")
    expect(window.field("Steps")).to_be_hidden()


def what_is_refused_in_a_closed_fold_is_shown(window: Window) -> None:
    window.fill(Width="513")
    window.fold("Output").click()
    window.generate.click()
    window.wait("failed")
    expect(window.field("Width")).to_be_visible()
    expect(window.page.locator(".field-error")).to_be_in_viewport()
    window.fill(Width="")


def test_folds_scrolling_and_refusals_on_a_wide_screen(window: Window) -> None:
    """One page, on which each part begins where the one before it ended."""
    what_is_refused_in_a_closed_fold_is_shown(window)
    a_folded_group_says_what_is_set_in_it_and_is_remembered(window)
    the_settings_scroll_by_themselves_and_generate_stays_in_reach(window)


def the_picture_keeps_its_height_from_run_to_run(window: Window, studio: FakeStudio) -> None:
    window.make("a red heart")
    height = stage(window)["height"]
    window.begin("wait, a blue ring", Count="3")
    expect(window.page.get_by_role("group", name="Images of this run")).to_be_visible()
    assert stage(window)["height"] == height
    studio.released.set()
    window.wait("done")
    assert stage(window)["height"] == height
    window.fold("Advanced").click()
    window.page.get_by_text("Previews", exact=True).click()
    window.make("a green ring", Count="1")
    expect(window.page.locator(".film canvas").first).to_be_hidden()
    assert stage(window)["height"] == height


def a_phone_shows_words_then_picture_then_results_and_never_scrolls_sideways(phone: Window) -> None:
    phone.make("a red heart, striped, and a very_long_word_" + "x" * 200)
    expect(phone.results.first).to_be_visible()
    tops = [
        box(each)["y"] for each in (phone.field("Prompt"), phone.page.locator("#workbench .stage"), phone.results.first)
    ]
    assert tops == sorted(tops)
    assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for button in (phone.generate, phone.stop):
        expect(button).to_be_in_viewport(ratio=0.99)


def on_a_phone_settings_open_below_the_picture_which_renders_live_in_view(phone: Window, studio: FakeStudio) -> None:
    first = phone.job
    phone.page.get_by_text("Live", exact=True).click()
    settings = phone.page.get_by_role("button", name="Settings", exact=True)
    expect(phone.field("Steps")).to_be_hidden()
    settings.click()
    expect(phone.page.get_by_role("button", name="Done")).to_be_focused()
    sheet, picture = box(phone.page.locator(".settings")), box(phone.page.locator("#workbench .picture img"))
    assert picture["y"] >= box(phone.page.locator("#bar"))["height"] - 1
    assert picture["y"] + picture["height"] <= sheet["y"] + 1
    assert sheet["y"] + sheet["height"] <= box(phone.generate)["y"]
    phone.fill(Steps="7")
    phone.wait("done", other_than=first)
    expect(phone.page.locator("#workbench .picture img")).to_be_in_viewport(ratio=0.99)
    phone.page.keyboard.press("Escape")
    expect(phone.field("Steps")).to_be_hidden()
    expect(settings).to_be_focused()
    phone.page.get_by_text("Live", exact=True).click()


def on_a_phone_what_is_refused_opens_the_settings(phone: Window) -> None:
    settings = phone.page.get_by_role("button", name="Settings", exact=True)
    settings.click()
    phone.fill(Width="513")
    phone.page.get_by_role("button", name="Done").click()
    phone.generate.click()
    phone.wait("failed")
    expect(phone.page.locator(".field-error")).to_be_in_viewport()


def test_a_phone_from_words_to_settings(phone: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_phone_shows_words_then_picture_then_results_and_never_scrolls_sideways(phone)
    on_a_phone_settings_open_below_the_picture_which_renders_live_in_view(phone, studio)
    on_a_phone_what_is_refused_opens_the_settings(phone)


def keys_generate_stop_and_list_the_shortcuts_but_not_while_typing(window: Window) -> None:
    window.fill(Prompt="stay")
    window.page.keyboard.press("Control+Enter")
    job = window.wait("running")
    window.page.keyboard.press("Control+Alt+Enter")
    assert window.wait("cancelled") == job
    window.fill(Prompt="")
    sheet = window.page.get_by_role("dialog", name="Keyboard shortcuts")
    window.field("Prompt").press("?")
    expect(window.field("Prompt")).to_have_value("?")
    expect(sheet).to_be_hidden()
    window.generate.press("?")
    expect(sheet).to_be_visible()
    window.page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    window.page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(sheet).to_be_visible()


def test_the_picture_s_height_and_the_keys(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    the_picture_keeps_its_height_from_run_to_run(window, studio)
    keys_generate_stop_and_list_the_shortcuts_but_not_while_typing(window)
