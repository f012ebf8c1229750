"""The tabs: their addresses, what stays when the task changes, and where their names stand on a wide window and on a phone."""

from collections.abc import Callable, Iterator
from functools import partial

import gradio as gr
import pytest
from playwright.sync_api import expect

from studio.core.protocol import Studio
from studio.ui import shell
from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab
from tests.e2e.conftest import served
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
Visit = Callable[..., Window]
PHONE = {"width": 390, "height": 844}


def _gallery(studio: Studio, page: gr.Blocks) -> None:
    gr.HTML("<p>Everything that was made</p>")


MORE = {
    "inpaint": Tab("Inpaint", "create", "inpaint", mode=Mode("inpaint", "Paint over a part of a picture.")),
    "gallery": Tab("Gallery", "keep", "gallery", build=_gallery),
}


@pytest.fixture(scope="module")
def module_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def address(module_studio: FakeStudio) -> Iterator[str]:
    tabs = {name: TABS.get(name) for name in shell.ORDER} | MORE
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studio.ui.mount.build", partial(shell.build, tabs=tabs))
        with served(module_studio) as address:
            yield address


@pytest.fixture
def studio(module_studio: FakeStudio) -> FakeStudio:
    module_studio.forget()
    return module_studio


def heading(window: Window) -> str:
    return window.page.get_by_role("heading", level=1).inner_text()


def test_each_tab_has_an_address_that_back_and_reload_keep(window: Window) -> None:
    page = window.page
    assert heading(window) == "Text to image"
    window.open_tab("Gallery")
    expect(page).to_have_url(f"{_home(window)}#gallery")
    expect(page).to_have_title("Gallery · Unnoise")
    expect(page.get_by_text("Everything that was made")).to_be_visible()
    expect(window.field("Prompt")).to_be_hidden()
    page.reload()
    expect(page.get_by_text("Everything that was made")).to_be_visible()
    assert heading(window) == "Gallery"
    page.go_back()
    expect(window.field("Prompt")).to_be_visible()
    page.go_forward()
    expect(page.get_by_text("Everything that was made")).to_be_visible()


def test_an_address_that_no_tab_has_opens_the_first_and_opening_a_tab_keeps_the_rest_of_it(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    window = visit(address, query="?__theme=dark#nothing-here")
    assert heading(window) == "Text to image"
    expect(_link(window, "Text to image")).to_have_attribute("aria-current", "page")
    window.page.evaluate("window.stayed = true")
    window.open_tab("Gallery")
    expect(window.page).to_have_url(f"{_home(window)}?__theme=dark#gallery")
    assert window.page.evaluate("window.stayed")


def test_the_form_and_the_picture_stay_when_the_task_changes(window: Window, studio: FakeStudio) -> None:
    expect(window.page.get_by_text("Describe a picture")).to_be_visible()
    window.open_tab("Inpaint")  # the empty canvas says what the open tab is for
    expect(window.page.get_by_text("Paint over a part of a picture.")).to_be_visible()
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


def test_the_keyboard_skips_the_tabs_and_a_narrower_window_shows_only_those_of_the_open_group(window: Window) -> None:
    press = window.page.keyboard.press
    press("Tab")
    expect(window.page.locator(":focus")).to_have_accessible_name("Skip the tabs")
    press("Enter")
    expect(window.page.get_by_role("heading", level=1)).to_be_focused()
    press("Tab")
    expect(window.field("Prompt")).to_be_focused()
    window.page.set_viewport_size({"width": 1000, "height": 700})
    expect(_link(window, "Inpaint")).to_be_visible()
    expect(_link(window, "Gallery")).to_be_hidden()
    window.open_tab("Keep")
    expect(_link(window, "Gallery")).to_be_visible()
    expect(_link(window, "Inpaint")).to_be_hidden()


def test_on_a_phone_the_groups_stand_at_the_bottom_and_go_back_to_where_one_was(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    window = visit(address, viewport=PHONE)
    window.open_tab("Inpaint")
    for name in ("Create", "Keep"):
        box = _link(window, name).bounding_box()
        assert box and box["y"] + box["height"] == PHONE["height"] and min(box["width"], box["height"]) >= 44
    window.open_tab("Keep")
    assert heading(window) == "Models"
    window.open_tab("Gallery")
    window.open_tab("Create")
    assert heading(window) == "Inpaint"
    window.open_tab("Keep")
    assert heading(window) == "Gallery"
    assert window.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def _link(window: Window, title: str):  # type: ignore[no-untyped-def]
    return window.page.get_by_role("navigation").get_by_role("link", name=title, exact=True, include_hidden=True)


def _home(window: Window) -> str:
    return str(window.page.evaluate("location.origin + '/'"))
