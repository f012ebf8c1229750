"""Nothing that was set in the form is lost: it outlives a reload, and settings that were filled in can be undone."""

import pytest
from playwright.sync_api import expect

from tests.e2e.window import Window

pytestmark = pytest.mark.browser


def a_reload_keeps_what_was_typed_and_chosen_and_the_task_with_its_settings(window: Window) -> None:
    window.field("Model").select_option("starter/crayon")
    expect(window.field("Steps")).to_have_value("8")
    window.open_tab("Image to image")
    window.fill(Strength="0.3")
    window.field("Sampler").select_option("euler")
    window.fill(Prompt="a red h", Negative_prompt="rain", Steps="7", Seed="513x")
    window.page.reload()
    window = Window(window.page)
    expect(window.field("Prompt")).to_have_value("a red h")
    expect(window.field("Negative prompt")).to_have_value("rain")
    expect(window.field("Model")).to_have_value("starter/crayon")
    expect(window.field("Sampler")).to_have_value("euler")
    expect(window.field("Steps")).to_have_value("7")
    expect(window.field("Seed")).to_have_value("513x")  # also what no request would take
    expect(window.field("Width")).to_be_disabled()  # as the chosen model has it
    expect(window.field("Strength")).to_have_value("0.3")


def what_was_typed_before_the_form_was_ready_stays(first: Window) -> None:
    first.fill(Prompt="an old draft")
    first.page.reload(wait_until="commit")
    first.field("Prompt").fill("quick words")
    second = Window(first.page)
    expect(second.field("Prompt")).to_have_value("quick words")
    second.fill(Steps="9")  # the form answers, so all that it had to restore is there
    expect(second.field("Prompt")).to_have_value("quick words")


def test_a_reload_keeps_the_draft_and_what_was_typed_meanwhile(window: Window) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_reload_keeps_what_was_typed_and_chosen_and_the_task_with_its_settings(window)
    what_was_typed_before_the_form_was_ready_stays(window)


def picking_a_result_or_a_preset_can_be_undone_and_redone(window: Window) -> None:
    window.make("a red heart", Steps="6", Seed="4")
    window.fill(Prompt="a long prompt that nobody has saved", Steps="11", Seed="5")
    window.results.first.click()
    expect(window.field("Prompt")).to_have_value("a red heart")
    undo = window.page.get_by_role("button", name="Undo", exact=True)
    undo.click()
    expect(window.field("Prompt")).to_have_value("a long prompt that nobody has saved")
    expect(window.field("Steps")).to_have_value("11")
    expect(window.field("Seed")).to_have_value("5")
    expect(undo).to_be_hidden()
    window.page.get_by_role("button", name="Redo", exact=True).click()
    expect(window.field("Prompt")).to_have_value("a red heart")
    expect(window.field("Steps")).to_have_value("6")
    before = window.job
    window.generate.click()
    expect(undo).to_be_hidden()
    window.wait("done", other_than=before)
    window.fill(Steps="33")
    window.field("Preset").select_option("quick")
    expect(window.field("Steps")).to_have_value("8")
    window.page.get_by_role("button", name="Undo", exact=True).click()
    expect(window.field("Steps")).to_have_value("33")
    expect(window.field("Preset")).to_have_value("none")


def earlier_prompts_are_at_hand_and_taking_one_up_can_be_undone(window: Window) -> None:
    page = window.page
    for prompt in ("a blue ring", "a red heart"):  # which was generated before
        window.make(prompt)
    window.fill(Prompt="unsaved words")
    earlier = page.get_by_role("button", name="Earlier prompts", exact=True)
    earlier.click()
    rows = page.locator(".history").get_by_role("button")
    expect(rows).to_have_text(["a red heart", "a blue ring"])
    expect(rows.first).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(window.field("Prompt")).to_have_value("a blue ring")
    expect(window.field("Prompt")).to_be_focused()
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(window.field("Prompt")).to_have_value("unsaved words")
    page.reload()
    earlier.click()
    expect(rows).to_have_text(["a red heart", "a blue ring"])


def test_settings_and_prompts_are_taken_up_and_undone(window: Window) -> None:
    """One page, on which each part begins where the one before it ended."""
    picking_a_result_or_a_preset_can_be_undone_and_redone(window)
    earlier_prompts_are_at_hand_and_taking_one_up_can_be_undone(window)
