"""What the page says of the prompt while it is typed."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.window import Window
from tests.ui.fake_studio import MODELS, FakeStudio

pytestmark = pytest.mark.browser
WORDS = {"Shapes": ("heart", "ring"), "Colours": ("red",), "": ("a", "and", "the")}


@pytest.fixture
def window(visit: Callable[..., Window], address: str, studio: FakeStudio) -> Window:
    studio.offer(MODELS[0].model_copy(update={"vocabulary": WORDS}), MODELS[1])
    return visit(address)


def words_that_the_model_does_not_know_are_underlined_and_replaced_by_a_click(window: Window) -> None:
    page, marks = window.page, window.page.locator(".prompt-marks mark")
    window.fill(Prompt="a red astronaut 😀 and a hart")
    expect(marks).to_have_text(["astronaut", "😀", "hart"])
    layer = page.locator(".prompt-marks").evaluate(
        "(each) => [getComputedStyle(each).zIndex, getComputedStyle(each).font]"
    )
    area = window.field("Prompt").evaluate("(each) => [getComputedStyle(each).zIndex, getComputedStyle(each).font]")
    assert int(layer[0]) > int(area[0])  # or nothing would be seen of it
    assert layer[1] == area[1]
    expect(window.field("Prompt")).to_have_accessible_description(
        "Pencil does not know “astronaut”, “😀”, “hart”.", timeout=60_000
    )
    page.locator(".prompt-chips").get_by_role("button", name="ring", exact=True).click()
    expect(window.field("Prompt")).to_have_value("a red ring 😀 and a hart")
    expect(marks).to_have_text(["😀", "hart"])
    window.field("Model").select_option("starter/crayon")  # which has no vocabulary
    expect(marks).to_have_count(0)
    expect(page.locator(".prompt-note")).to_be_hidden()


def what_the_model_can_draw_is_listed_and_tokens_are_counted(window: Window) -> None:
    page = window.page
    more = page.get_by_role("button", name="What can it draw?")
    expect(more).to_have_attribute("aria-expanded", "false")
    more.click()
    expect(page.locator(".prompt-groups dt")).to_have_text(["Shapes", "Colours"])
    page.locator(".prompt-groups").get_by_role("button", name="red", exact=True).click()
    page.locator(".prompt-groups").get_by_role("button", name="heart", exact=True).click()
    expect(window.field("Prompt")).to_have_value("red heart")
    window.fill(Prompt="a red heart")
    expect(page.locator(".prompt-count")).to_have_text("3 of 30 tokens")
    window.fill(Prompt="a " * 30 + "red heart")
    expect(page.locator(".prompt-count")).to_have_text("32 of 30 tokens")
    expect(page.locator(".prompt-note")).to_have_text("The model stops reading at “red heart”.")
    expect(page.locator(".prompt-marks .is-late")).to_have_text("red heart")


def test_the_prompt_is_read_as_it_is_typed(window: Window) -> None:
    """One page, on which each part begins where the one before it ended."""
    what_the_model_can_draw_is_listed_and_tokens_are_counted(window)
    words_that_the_model_does_not_know_are_underlined_and_replaced_by_a_click(window)
