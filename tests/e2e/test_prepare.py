"""A single file in the form of Text to image: what it needs before its first picture is said, and done at one click only."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from studio.core.memory import ImportView
from tests.e2e.test_models_tab import FILES
from tests.e2e.window import Window
from tests.ui.fake_studio import MODELS, FakeStudio

pytestmark = pytest.mark.browser

SINGLE = FILES[:2]


def test_what_is_not_converted_says_so_and_is_converted_only_when_asked(
    visit: Callable[..., Window], address: str, studio: FakeStudio
) -> None:
    studio.offer(*MODELS, *SINGLE)
    window = visit(address)
    line, model = window.page.locator(".prepare-body"), window.field("Model")
    expect(line).to_be_hidden()
    for choice in (1, 0, 1):  # a person who browses the menu
        model.select_option(SINGLE[choice].id)
        expect(line).to_contain_text("This file is converted once, before its first picture (about 20 s).")
        model.select_option("starter/crayon")
        expect(line).to_be_hidden()
    assert studio.commands == []
    model.select_option(SINGLE[0].id)
    button = line.get_by_role("button")
    button.press("Enter")
    what = {"model": SINGLE[0].id, "dtype": "bf16"}
    studio.change(imports=(ImportView(**what, what="converting unet", fraction=0.25),))
    expect(line.get_by_role("progressbar", name="Preparing the model")).to_have_attribute("aria-valuenow", "25")
    expect(line).to_contain_text("Preparing: converting U-Net 25%")
    expect(button).to_have_text("Stop preparing")
    expect(button).to_be_focused()
    button.press("Enter")
    studio.change(imports=(ImportView(**what, problem="The disk is <b>full</b>."),))
    expect(line).to_contain_text("The disk is <b>full</b>.")
    expect(button).to_have_text("Prepare again")
    studio.change(imports=(), prepared=(SINGLE[0].id,))
    expect(line).to_be_hidden()
    assert [(command.action, command.model) for command in studio.commands] == [
        ("import", SINGLE[0].id),
        ("cancel_import", SINGLE[0].id),
    ]
