"""Live shows pictures while a slider moves, and ends with the full run of the settings as they are then."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from studio.core.events import Step
from studio.core.jobs import TERMINAL
from studio.core.sketch import is_sketch
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
FULL = '[data-phase=done]:not([data-job="{}"]):not([data-job^="sketch-"])'  # a full run, and not this one
Visit = Callable[..., Window]


class Drag:
    """A thumb held by the mouse; each `move` puts it elsewhere."""

    def __init__(self, window: Window, name: str):
        self.mouse = window.page.mouse
        slider = window.page.get_by_label(f"{name} slider", exact=True)
        slider.scroll_into_view_if_needed()
        box = slider.bounding_box()
        assert box is not None
        self.left, self.width, self.y = box["x"], box["width"], box["y"] + box["height"] / 2
        self.moves = 0
        self.mouse.move(self.left + 0.3 * self.width, self.y)
        self.mouse.down()

    def move(self) -> None:
        """To and fro over the middle of the slider, never twice to one place in a row."""
        self.moves += 1
        place = self.moves % 40
        self.mouse.move(self.left + (0.3 + 0.02 * min(place, 40 - place)) * self.width, self.y)


def start(window: Window, prompt: str = "a red heart", **values: str) -> str:
    """A first picture, with Live on."""
    job = window.make(prompt, **values)
    window.page.get_by_text("Live", exact=True).click()
    return job


def move_until_another_picture(window: Window, drag: Drag, before: str) -> str:
    """Goes on moving, as a hand does, until the canvas shows another picture than `before`."""
    while (shown := window.picture()) == before:
        drag.move()
        window.page.wait_for_timeout(20)
    return shown


def test_sketches_follow_the_hand_one_at_a_time_and_the_full_run_follows_at_rest(
    window: Window, studio: FakeStudio
) -> None:
    first = start(window, Steps="40", CFG="4")
    window.page.get_by_label("CFG slider", exact=True).press("ArrowRight")
    window.page.wait_for_selector(FULL.format(first))
    assert studio.job(window.job).request.guidance_scale == 4.5
    first, drag, shown, sketches = window.job, Drag(window, "CFG"), [window.picture()], set[str]()
    while len(sketches) < 5:  # runs, one after the other
        shown.append(move_until_another_picture(window, drag, shown[-1]))
        assert shown[-1], "the canvas never goes blank"
        assert sum(studio.job(job).state not in TERMINAL for job in studio.sketches()) <= 1
        sketches |= {address.split("/")[-3] for address in shown[-1:] if "/sketch-" in address}
    drag.mouse.up()
    window.page.wait_for_selector(FULL.format(first))
    window.page.wait_for_function("document.querySelector('.picture img').src.includes('/images/')")
    made = studio.job(window.job).request
    assert (made.steps, made.guidance_scale) == (40, float(window.field("CFG").input_value()))
    assert {image.job for image in studio.images()} == {view.id for view in studio.jobs() if view.state == "done"}
    expect(window.results).to_have_count(len(studio.images()))
    for job in studio.sketches():
        kinds = [event.kind for event in studio.follow(job)]
        assert "loading" not in kinds or "step" in kinds  # what began was not cancelled before it had a picture


def test_a_full_run_that_has_been_seen_gives_way_when_the_slider_moves_again(
    window: Window, studio: FakeStudio
) -> None:
    first = start(window, "slow, a red heart", Steps="5")
    window.fill(Steps="900")
    full = window.wait("running", other_than=first)
    drag = Drag(window, "CFG")
    move_until_another_picture(window, drag, window.picture())
    while studio.job(full).state == "running":
        drag.move()
        window.page.wait_for_timeout(20)
    seen = [event for event in studio.follow(full) if isinstance(event, Step)]
    assert studio.job(full).state == "cancelled" and seen
    window.page.wait_for_selector('[data-job^="sketch-"]')
    drag.mouse.up()
    window.stop.click()


@pytest.mark.sweep
def test_a_sketch_is_not_what_a_reloaded_page_or_another_one_shows(
    window: Window, visit: Visit, address: str, studio: FakeStudio
) -> None:
    start(window, Steps="40")
    other = visit(address, context=window.page.context)
    kept = other.wait("done")
    window.page.bring_to_front()
    drag = Drag(window, "CFG")
    move_until_another_picture(window, drag, window.picture())
    assert is_sketch(window.job)
    assert other.job == kept
    window.page.reload(wait_until="commit")
    window.page.wait_for_selector("[data-phase=done]")
    assert not is_sketch(window.job)
