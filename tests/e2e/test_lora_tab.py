"""The LoRA tab: a row's words, switch and weight, one picture at several weights, and the prompt's syntax in colours."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from studio.core.models import ModelInfo
from tests.e2e.window import Window
from tests.ui.fake_studio import MODELS, FakeStudio

pytestmark = pytest.mark.browser
CHALK, INK = (
    ModelInfo(id=f"loras/{name}", title=name.capitalize(), kind="lora", family="sd1", triggers=(f"{name} drawing",))
    for name in ("chalk", "ink")
)


def test_a_row_gives_its_words_its_weight_and_pictures_at_several_weights(
    visit: Callable[..., Window], address: str, studio: FakeStudio
) -> None:
    able = MODELS[0].capabilities.model_copy(update={"parts": ("lora",)})
    studio.offer(MODELS[0].model_copy(update={"capabilities": able}), CHALK, INK)
    window = visit(address, query="#lora")
    page, rows = window.page, window.page.get_by_role("list", name="LoRAs").get_by_role("listitem")
    expect(rows).to_have_count(2)
    row = rows.filter(has_text="Chalk")
    window.fill(Prompt="a (red:1.3) heart [ring|ball]")
    row.get_by_role("button", name="chalk drawing").click()
    expect(window.field("Prompt")).to_have_value("a (red:1.3) heart [ring|ball], chalk drawing")
    expect(page.locator(".prompt-marks .is-weight")).to_have_text("red")
    expect(page.locator(".prompt-marks .is-alternation")).to_have_text("[ring|ball]")
    row.get_by_label("Use Chalk").press("Space")
    row.get_by_label("Weight", exact=True).fill("0.7")
    before = window.job
    window.generate.click()
    window.wait("done", other_than=before)
    part = studio.jobs()[0].request.parts[0].model_dump()
    assert (part["model"], part["weight"]) == ("loras/chalk", 0.7)
    row.get_by_role("button", name="Compare weights of Chalk").click()
    weights = page.get_by_role("list", name="Weights of chalk").get_by_role("listitem")
    expect(weights).to_have_text(["0", "0.4", "0.8", "1.2"])
    expect(weights.locator("img")).to_have_count(4)
    assert len({job.request.seed for job in studio.jobs()[:4]}) == 1
    row.get_by_label("Use Chalk").press("Space")
    before = window.job
    window.generate.click()
    window.wait("done", other_than=before)
    assert studio.jobs()[0].request.parts == ()
