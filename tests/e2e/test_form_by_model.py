"""What the form says of the model that is chosen: controls that it has no use for, and advice that refuses nothing."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.e2e.window import Window
from tests.ui.fake_studio import BLOBS, CLASSES, MODELS, STAGES, FakeStudio

pytestmark = pytest.mark.browser


@pytest.fixture
def window(visit: Callable[..., Window], address: str, studio: FakeStudio) -> Window:
    studio.offer(*MODELS, BLOBS, CLASSES, STAGES)
    return visit(address)


def a_model_that_takes_no_words_says_so_and_gives_them_back_to_the_next(window: Window, studio: FakeStudio) -> None:
    window.fold("Advanced").click()
    window.fill(Prompt="a red heart", Negative_prompt="rain")
    window.field("Model").select_option("other/blobs")
    for name in ("Prompt", "Negative prompt", "CFG", "Guidance rescale", "Width"):
        expect(window.field(name)).to_be_disabled()
        expect(window.field(name)).to_have_accessible_name(name)
    expect(window.field("Prompt")).to_have_accessible_description(
        "This model takes no prompt: it makes pictures of its one kind."
    )
    expect(window.page.locator(".block.is-guidance_scale")).to_contain_text("This model takes no guidance.")
    before = window.job
    window.generate.click()
    made = studio.job(window.wait("done", other_than=before)).request
    assert (made.prompt, made.negative_prompt) == ("", "")
    window.field("Model").select_option("other/classes")
    expect(window.field("Prompt")).to_be_enabled()
    expect(window.page.locator(".block.is-prompt")).to_contain_text("One class of this model.")
    window.field("Model").select_option("starter/pencil")
    expect(window.field("Negative prompt")).to_be_enabled()
    expect(window.field("Prompt")).to_have_value("a red heart")
    expect(window.page.locator(".block.is-prompt")).not_to_contain_text("class")
    expect(window.field("CFG")).to_be_enabled()


def too_few_steps_and_a_size_far_from_the_models_own_are_advised_against_and_made_all_the_same(
    window: Window, studio: FakeStudio
) -> None:
    said = window.page.locator(".block.is-steps .field-note")
    expect(said).to_be_hidden()
    window.field("Sampler").select_option("dpmpp_3m_sde")
    window.field("Spacing").select_option("karras")
    window.fill(Steps="9")
    expect(said).to_have_text("Below 10 steps, DPM++ 3M SDE with Karras spacing leaves noise or grey in the picture.")
    expect(window.field("Steps")).to_have_accessible_description(
        "Below 10 steps, DPM++ 3M SDE with Karras spacing leaves noise or grey in the picture."
    )
    assert studio.job(window.make("a red heart")).request.steps == 9
    window.field("Spacing").select_option("trailing")
    expect(said).to_be_hidden()
    said = window.page.locator(".size-note .field-note")
    expect(said).to_be_hidden()
    window.fill(Width="256")
    expect(said).to_be_hidden()
    window.fill(Height="256")
    expect(said).to_have_text("Pencil is made for 128 × 128; larger pictures repeat things.")
    window.fill(Width="64", Height="64")
    expect(said).to_have_text("Pencil is made for 128 × 128; smaller pictures lose their form.")
    window.field("Model").select_option("starter/crayon")  # which makes only its own size
    expect(said).to_be_hidden()
    window.field("Model").select_option("starter/pencil")
    expect(window.field("Width")).to_be_enabled()
    window.fill(Width="", Height="")


def test_the_form_follows_the_model(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    too_few_steps_and_a_size_far_from_the_models_own_are_advised_against_and_made_all_the_same(window, studio)
    a_model_that_takes_no_words_says_so_and_gives_them_back_to_the_next(window, studio)
