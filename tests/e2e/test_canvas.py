"""The canvas in a real browser: what a run shows first, its shape and height, the keys that play it, and what says that it ended."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
Visit = Callable[..., Window]


def box(locator: Locator) -> dict[str, float]:
    found = locator.bounding_box()
    assert found is not None
    return dict(found)


def look(window: Window, state: str) -> None:
    """The page is hidden by another tab, or visible again."""
    window.page.evaluate(
        """(state) => {
            Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


def a_run_comes_out_of_the_noise_until_another_view_is_chosen(
    window: Window, visit: Visit, address: str, studio: FakeStudio
) -> None:
    noisy, guess = (window.page.get_by_role("radio", name=name) for name in ("x_t", "Predicted x0"))
    expect(noisy).to_be_checked()
    job = window.job
    assert f"/images/{studio.job(job).images[0]}" in window.picture()  # at its end, the picture itself
    window.wait_frames()
    guess.check(force=True)
    window.page.reload()
    expect(guess).to_be_checked()
    window.wait("done")
    window.wait_frames()
    noisy.check(force=True)
    assert "/images/" not in window.picture()  # what the last step worked on
    guess.check(force=True)
    assert "/images/" in window.picture()


def the_stage_has_one_height_from_the_first_visit_on(window: Window) -> None:
    stage = window.page.locator("#workbench .stage")
    before = box(stage)["height"]
    window.make("a red heart")
    assert box(stage)["height"] == before
    expect(window.results).to_have_count(1)
    assert box(stage)["height"] == before


def test_the_stage_keeps_its_height_and_shows_the_view_that_was_chosen(
    window: Window, visit: Visit, address: str, studio: FakeStudio
) -> None:
    """One page, on which each part begins where the one before it ended."""
    the_stage_has_one_height_from_the_first_visit_on(window)
    a_run_comes_out_of_the_noise_until_another_view_is_chosen(window, visit, address, studio)


def a_picture_keeps_its_shape_while_one_of_another_shape_is_made(window: Window, studio: FakeStudio) -> None:
    window.make("a red heart", Width="256", Height="128")
    picture = window.page.locator("#workbench .picture img")
    wide = box(picture)
    assert wide["width"] / wide["height"] == pytest.approx(2, rel=0.02)
    window.begin("wait, a blue ring", Width="128", Height="256")
    assert box(picture) == wide
    studio.released.set()
    window.wait("done")
    expect(picture).to_have_attribute("src", f"{window.page.url.split('?')[0].rstrip('/')}/images/{_image(studio)}")
    tall = box(picture)
    assert tall["height"] / tall["width"] == pytest.approx(2, rel=0.02)


def space_and_arrows_play_wherever_no_text_is_typed(window: Window) -> None:
    window.make("a red heart, striped", Steps="12")
    window.wait_frames()
    press = window.page.keyboard.press
    press("ArrowLeft")  # the focus is on Generate, which has no use for arrows
    expect(window.step).to_have_value("11")
    made = window.job
    press("Space")  # nor, after a click of the mouse, for Space
    expect(window.step).to_have_value("12")
    assert window.job == made
    window.field("Prompt").focus()
    press("End")
    press("Space")
    press("ArrowLeft")
    expect(window.field("Prompt")).to_have_value("a red heart, striped ")
    expect(window.step).to_have_value("12")


def generate_shows_its_keys_and_space_presses_it_where_the_tab_key_came_to_it(window: Window) -> None:
    expect(window.generate).to_contain_text("Enter")
    expect(window.generate).to_have_accessible_name("Generate")
    expect(window.generate).to_have_attribute("aria-keyshortcuts", "Control+Enter")
    made = window.job
    window.field("Negative prompt").focus()
    window.page.keyboard.press("Tab")
    expect(window.generate).to_be_focused()
    window.page.keyboard.press("Space")
    window.wait("done", other_than=made)


def recent_is_one_stop_of_the_tab_key(window: Window) -> None:
    for prompt in ("a red heart", "a blue ring, " + "very " * 40 + "round"):
        window.make(prompt)
    expect(window.results).to_have_count(2)
    newest, oldest = window.results.first, window.results.last
    assert len(newest.get_attribute("aria-label") or "") < 100
    assert "round" in (newest.get_attribute("title") or "")
    newest.focus()
    window.page.keyboard.press("ArrowRight")
    expect(oldest).to_be_focused()
    window.page.keyboard.press("Home")
    expect(newest).to_be_focused()
    window.page.keyboard.press("Tab")
    expect(oldest).not_to_be_focused()
    window.page.keyboard.press("Shift+Tab")
    expect(newest).to_be_focused()


def test_keys_generate_play_and_walk_through_recent(window: Window) -> None:
    """One page, on which each part begins where the one before it ended."""
    recent_is_one_stop_of_the_tab_key(window)
    generate_shows_its_keys_and_space_presses_it_where_the_tab_key_came_to_it(window)
    space_and_arrows_play_wherever_no_text_is_typed(window)


def the_title_and_a_notification_say_that_a_run_has_ended(window: Window, studio: FakeStudio) -> None:
    studio.released.clear()
    window.page.evaluate(
        """() => {
            window.notes = [];
            window.Notification = class { constructor(title, options) { window.notes.push(`${title}: ${options.body}`); } };
            window.Notification.permission = "granted";
        }"""
    )
    window.begin("wait, a red heart")
    expect(window.page).to_have_title("Running · Text to image · Unnoise")
    look(window, "hidden")
    studio.released.set()
    expect(window.page).to_have_title("Done · Text to image · Unnoise")
    assert window.page.evaluate("window.notes") == ["Unnoise: done: wait, a red heart"]
    look(window, "visible")
    window.wait("done")
    expect(window.page).to_have_title("Text to image · Unnoise")


def test_a_run_in_view_keeps_its_shape_and_says_that_it_ended(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_picture_keeps_its_shape_while_one_of_another_shape_is_made(window, studio)
    the_title_and_a_notification_say_that_a_run_has_ended(window, studio)


def _image(studio: FakeStudio) -> str:
    return studio.images(limit=1)[0].id
