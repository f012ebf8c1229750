"""A ControlNet's card: the picture, its annotator, the control image that is made of it, and the weight in words."""

import io
from collections.abc import Callable

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from studio.core.models import ModelInfo
from tests.e2e.window import Window
from tests.ui.fake_studio import MODELS, FakeStudio

pytestmark = pytest.mark.browser


def test_an_annotator_makes_the_control_image_at_once(
    visit: Callable[..., Window], address: str, studio: FakeStudio
) -> None:
    able = MODELS[0].capabilities.model_copy(update={"parts": ("vae", "controlnet")})
    net = ModelInfo(id="controlnets/edges", title="Edges", kind="controlnet", family="sd1")
    studio.offer(MODELS[0].model_copy(update={"capabilities": able}), MODELS[1], net)
    picture = Image.new("RGB", (96, 96), "white")
    ImageDraw.Draw(picture).rectangle((24, 24, 71, 71), fill="navy")
    data = io.BytesIO()
    picture.save(data, "PNG")
    page = visit(address, query="#controlnet").page
    page.get_by_label("Model", exact=True).select_option("Crayon")  # which takes none
    page.get_by_role("button", name="Change to Pencil").click()
    expect(page.get_by_label("Model", exact=True)).to_have_value("starter/pencil")
    page.get_by_role("button", name="Add ControlNet").click()
    card = page.get_by_role("group", name="ControlNet 1")
    card.locator("input[type=file]").first.set_input_files(
        {"name": "square.png", "mimeType": "image/png", "buffer": data.getvalue()}
    )
    image, menu = card.locator(".field-control img"), card.get_by_label("Annotator")
    expect(image).to_be_visible()
    source = (image.get_attribute("src") or "").rsplit("/", 1)[-1]

    menu.select_option("softedge_hed")
    expect(card.locator(".is-annotator .is-wrong")).to_contain_text("put ControlNetHED.pth")
    expect(menu).to_have_value("none")

    menu.select_option("threshold")
    expect(image).not_to_have_attribute("src", f"{address}/inputs/{source}", timeout=60_000)
    control = (image.get_attribute("src") or "").rsplit("/", 1)[-1]
    made = studio._inputs.open(control)
    assert made.getpixel((0, 0)) == (0, 0, 0) and made.convert("L").getextrema() == (0, 255)

    page.get_by_label("Width", exact=True).fill("192")
    expect(image).to_have_js_property("naturalWidth", 192)  # made anew at the new size
    control = (image.get_attribute("src") or "").rsplit("/", 1)[-1]

    card.get_by_role("radio", name="Hint").check(force=True)  # beneath its word
    expect(card.get_by_role("spinbutton", name="Weight")).to_have_value("0.3")
    page.get_by_role("button", name="Generate").click()
    page.wait_for_function("() => document.querySelector('[data-testid=canvas]').dataset.phase === 'done'")
    (part,) = studio.jobs()[0].request.parts
    assert part.model_dump(include={"image", "source", "annotator", "weight"}) == {
        "image": control,
        "source": source,
        "annotator": "threshold",
        "weight": 0.3,
    }

    menu.select_option("none")
    expect(image).to_have_attribute("src", f"{address}/inputs/{source}")
