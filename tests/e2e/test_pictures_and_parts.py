"""What a task and parts add to the form: a picture chosen in every way, the steps that will run, and cards."""

import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest
from studio.ui import shell
from studio.ui.mode import Mode
from studio.ui.registry import TABS, Tab
from tests.e2e.conftest import served
from tests.e2e.window import Window
from tests.ui.fake_studio import MODELS, STAGES, VAES, FakeStudio
from tests.ui.grain import Grain, register

pytestmark = pytest.mark.browser


class Recorder(FakeStudio):
    """Keeps what was asked of it. Requests with a part that only tests know are not run but refused."""

    def __init__(self, folder: Path, models: list[ModelInfo]):
        super().__init__(folder, models=models)
        self.asked: list[GenerationRequest] = []
        self.refusal: InvalidRequest

    def submit(self, request: GenerationRequest, *, replaces: str | None = None, sketch: bool = False) -> str:
        self.asked.append(request)
        if any(part.kind == "grain" for part in request.parts):
            raise self.refusal
        return super().submit(request, replaces=replaces, sketch=sketch)


def tabs() -> dict[str, Tab]:
    """Text to image, and a tab for each other task; one more where grains are drawn large."""
    names = {"image_to_image": "Image to image", "inpaint": "Inpaint"}
    made = {name: Tab(title, "create", name, mode=Mode(name, title)) for name, title in names.items()}
    large = Tab("Grain", "guide", "grain", mode=Mode(part="grain", purpose="Film grain."))
    return {"text_to_image": TABS.get("text_to_image"), **made, "grain": large}


@pytest.fixture(scope="module")
def module_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorder]:
    able = MODELS[0].capabilities.model_copy(update={"parts": ("vae", "grain")})
    pencil = MODELS[0].model_copy(update={"capabilities": able})
    studio = Recorder(tmp_path_factory.mktemp("studio"), [pencil, MODELS[1], STAGES, *VAES])
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def address(module_studio: Recorder) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        patch.setattr("studio.ui.mount.build", lambda studio: shell.build(studio, tabs()))
        with served(module_studio) as address:
            yield address


@pytest.fixture
def studio(module_studio: Recorder) -> Recorder:
    module_studio.forget()
    module_studio.asked.clear()
    module_studio.refusal = InvalidRequest("Not today.")
    return module_studio


def png(colour: str, size: tuple[int, int] = (40, 24)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, "PNG")
    return data.getvalue()


def file(colour: str) -> dict[str, object]:
    return {"name": f"{colour}.png", "mimeType": "image/png", "buffer": png(colour)}


def holder(window: Window, name: str) -> Locator:
    return window.page.locator(f".block.is-task-{name}")


def shown(window: Window, name: str) -> str:
    """The hash of the picture that the control shows."""
    image = holder(window, name).locator("img")
    expect(image).to_be_visible()
    return (image.get_attribute("src") or "").rsplit("/", 1)[-1]


def colour_of(studio: FakeStudio, digest: str) -> tuple[int, ...]:
    with Image.open(studio.input_file(digest)) as picture:
        return picture.getpixel((0, 0))  # type: ignore[return-value]


def give(window: Window, selector: str, kind: str, colour: str) -> None:
    """A picture dropped on an element, or pasted into it."""
    handle = window.page.evaluate_handle(
        """([bytes, name]) => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            return transfer;
        }""",
        [list(png(colour)), f"{colour}.png"],
    )
    window.page.evaluate(
        """([selector, kind, transfer]) => {
            const target = document.querySelector(selector);
            const event = kind === "paste"
                ? new ClipboardEvent(kind, { clipboardData: transfer, bubbles: true, cancelable: true })
                : new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true });
            target.dispatchEvent(event);
        }""",
        [selector, kind, handle],
    )


@pytest.fixture
def picture_window(visit: Callable[..., Window], address: str, studio: Recorder) -> Window:
    window = visit(address, query="#image_to_image")
    expect(window.field("Picture")).to_be_attached()
    return window


def a_picture_is_chosen_shown_sent_and_taken_away_and_what_is_none_is_refused(
    picture_window: Window, studio: Recorder
) -> None:
    window = picture_window
    window.generate.click()
    expect(holder(window, "image").locator(".field-error")).to_have_text("Picture is missing.")
    expect(window.field("Picture")).to_have_attribute("aria-invalid", "true")
    window.field("Picture").set_input_files(file("red"))  # type: ignore[arg-type]
    digest = shown(window, "image")
    assert colour_of(studio, digest) == (255, 0, 0)
    expect(holder(window, "image").locator(".field-error")).to_have_count(0)
    expect(holder(window, "image")).to_contain_text("40 × 24")
    window.make("a red heart")
    assert studio.asked[-1].task.model_dump() == {
        "kind": "image_to_image",
        "image": digest,
        "strength": 0.6,
        "resize": "crop",
    }
    assert (studio.asked[-1].width, studio.asked[-1].height) == (None, None)
    window.page.get_by_role("button", name="Remove picture").click()
    expect(holder(window, "image").locator("img")).to_be_hidden()
    text = {"name": "a.png", "mimeType": "image/png", "buffer": b"not a picture"}
    window.field("Picture").set_input_files(text)  # type: ignore[arg-type]
    expect(holder(window, "image").locator(".field-error")).to_contain_text("not a picture that can be read")
    expect(window.field("Picture")).to_have_attribute("aria-invalid", "true")


def a_picture_is_dropped_on_its_control_and_pasted_anywhere(picture_window: Window, studio: Recorder) -> None:
    window = picture_window
    give(window, ".is-task-image .picture-control", "dragover", "red")
    expect(window.page.locator(".overlay")).to_be_hidden()  # the one for pictures whose settings are wanted
    give(window, ".is-task-image .picture-control", "drop", "red")
    assert colour_of(studio, shown(window, "image")) == (255, 0, 0)
    first = shown(window, "image")
    give(window, ".is-prompt textarea", "paste", "blue")
    expect(holder(window, "image").locator("img")).not_to_have_attribute(
        "src", f"{window.page.url.split('#')[0]}inputs/{first}"
    )
    assert colour_of(studio, shown(window, "image")) == (0, 0, 255)
    expect(window.page.locator(".notice-body span")).to_be_empty()
    window.page.get_by_role("button", name="Remove picture").click()


def a_result_is_used_as_the_picture_to_start_from(picture_window: Window, studio: Recorder) -> None:
    window = picture_window
    window.open_tab("Text to image")
    window.make("a green ball, red background")
    made = studio.images()[0].id
    use = """async (image) => {
        const folder = document.querySelector("link[href*='styles.css']").href.replace(/[^/]+$/, "");
        const { usePicture } = await import(folder + "picture.js");
        const { currentWorkbench } = await import(folder + "workbench.js");
        return usePicture(currentWorkbench(), image);
    }"""
    assert window.page.evaluate(use, made) is False  # this task starts from no picture
    window.open_tab("Image to image")
    assert window.page.evaluate(use, made) is True
    with Image.open(studio.image_file(made)) as picture:
        corner = picture.convert("RGB").getpixel((0, 0))
    assert colour_of(studio, shown(window, "image")) == corner
    window.page.get_by_role("button", name="Remove picture").click()
    window.page.get_by_role("button", name="Use the picture shown").click()
    assert colour_of(studio, shown(window, "image")) == corner
    window.page.get_by_role("button", name="Remove picture").click()


def several_pictures_are_made_one_after_the_other_and_the_rest_can_be_stopped(
    picture_window: Window, studio: Recorder
) -> None:
    window, batch = picture_window, picture_window.page.locator(".batch-body")
    studio.asked.clear()
    window.fill(Prompt="a red heart")
    text = {"name": "a.png", "mimeType": "image/png", "buffer": b"not a picture"}
    chosen = [file("red"), file("blue"), text]
    batch.locator("input[type=file]").first.set_input_files(chosen)  # type: ignore[arg-type]
    expect(batch.get_by_role("listitem")).to_contain_text(["a.png: This is not a picture that can be read"])
    batch.get_by_role("button", name="Make 2 pictures").click()
    expect(batch).to_contain_text("2 of 2 pictures were made; they are in Recent.")
    starts = [request.task.model_dump()["image"] for request in studio.asked]
    assert [colour_of(studio, digest) for digest in starts] == [(0, 0, 255), (255, 0, 0)]  # in the order of their names
    window.fill(Prompt="stay, a red heart")
    batch.get_by_role("button", name="Make 2 pictures").click()
    expect(batch).to_contain_text("0 of 2 pictures are done.")
    batch.get_by_role("button", name="Stop all").click()
    expect(batch).to_contain_text("0 of 2 pictures were made")
    window.generate.click()  # without a picture of its own
    expect(holder(window, "image").locator(".field-error")).to_have_text("Picture is missing.")


def a_kinds_own_tab_shows_its_cards_large_and_leaves_the_task_as_it_is(
    picture_window: Window, studio: Recorder
) -> None:
    window = picture_window
    window.field("Picture").set_input_files(file("red"))  # type: ignore[arg-type]
    shown(window, "image")
    group = window.page.locator("[data-kind=grain]")
    expect(group).not_to_have_attribute("data-large", "")
    window.open_tab("Grain")
    expect(group).to_have_attribute("data-large", "")
    window.page.get_by_role("button", name="Add Grain", exact=True).click()
    expect(holder(window, "strength").filter(visible=True).locator(".field-note")).to_have_text(
        "7 of 12 steps will run."
    )
    expect(window.field("Model").locator("option:disabled")).to_have_text(["Crayon"])
    window.generate.click()
    expect(window.canvas).to_contain_text(str(studio.refusal))
    assert (studio.asked[-1].task.kind, len(studio.asked[-1].parts)) == ("image_to_image", 1)
    window.open_tab("Text to image")
    expect(group).not_to_have_attribute("data-large", "")
    expect(window.page.locator("[data-kind=grain] .fold-summary")).to_have_text("1")


def test_a_picture_is_given_in_every_way_and_several_at_once(picture_window: Window, studio: Recorder) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_picture_is_chosen_shown_sent_and_taken_away_and_what_is_none_is_refused(picture_window, studio)
    a_picture_is_dropped_on_its_control_and_pasted_anywhere(picture_window, studio)
    a_result_is_used_as_the_picture_to_start_from(picture_window, studio)
    several_pictures_are_made_one_after_the_other_and_the_rest_can_be_stopped(picture_window, studio)
    a_kinds_own_tab_shows_its_cards_large_and_leaves_the_task_as_it_is(picture_window, studio)


def the_picture_stays_put_when_the_mode_changes_each_task_has_its_strength_and_a_result_brings_it_back(
    picture_window: Window, studio: Recorder
) -> None:
    window = picture_window
    window.field("Picture").set_input_files(file("red"))  # type: ignore[arg-type]
    digest = shown(window, "image")
    window.fill(Strength="0.4")
    window.open_tab("Inpaint")
    assert shown(window, "image") == digest
    expect(window.field("Strength")).to_have_value("0.75")  # as the intent Fill has it
    window.fill(Strength="0.5")
    expect(holder(window, "mask")).to_contain_text("White is made anew")
    window.field("Mask").set_input_files(file("white"))  # type: ignore[arg-type]
    mask = shown(window, "mask")
    window.make("a red heart")
    assert studio.asked[-1].images() == {"task.image": digest, "task.mask": mask}
    window.open_tab("Image to image")
    expect(holder(window, "mask")).to_be_hidden()
    expect(window.field("Strength")).to_have_value("0.4")
    window.page.get_by_role("button", name="Remove picture").click()
    window.fill(Strength="0.9")
    window.results.first.click()
    expect(window.page).to_have_url(re.compile("#inpaint$"))
    assert (shown(window, "image"), shown(window, "mask")) == (digest, mask)
    expect(window.field("Strength")).to_have_value("0.5")


def how_many_steps_will_run_is_said_and_that_a_model_cannot_do_the_task(picture_window: Window) -> None:
    window = picture_window
    window.open_tab("Image to image")
    said = holder(window, "strength").filter(visible=True).locator(".field-note")
    window.fill(Steps="20", Strength="0.6")
    expect(said).to_have_text("12 of 20 steps will run.")
    expect(window.field("Strength")).to_have_accessible_description("12 of 20 steps will run.")
    window.fill(Steps="10")
    expect(said).to_have_text("6 of 10 steps will run.")
    window.field("Strength slider").filter(visible=True).fill("0.05")
    expect(said).to_have_text("No step would run: raise the strength or the steps.")
    crayon = window.field("Model").locator("option", has_text="Crayon")
    expect(crayon).to_be_disabled()
    window.open_tab("Text to image")
    expect(crayon).to_be_enabled()
    window.field("Model").select_option("starter/crayon")
    expect(window.page.locator(".is-model .field-help")).to_have_text("Draws them softer.")
    window.open_tab("Image to image")
    expect(window.page.locator(".is-model .field-help")).to_have_text("Crayon cannot do image to image.")
    window.field("Picture").set_input_files(file("red"))  # type: ignore[arg-type]
    shown(window, "image")
    window.generate.click()
    expect(window.page.locator(".is-model .field-error")).to_contain_text("Crayon cannot do image to image.")


def test_a_picture_stays_with_its_tasks_and_the_steps_that_run_are_said(
    picture_window: Window, studio: Recorder
) -> None:
    """One page, on which each part begins where the one before it ended."""
    the_picture_stays_put_when_the_mode_changes_each_task_has_its_strength_and_a_result_brings_it_back(
        picture_window, studio
    )
    how_many_steps_will_run_is_said_and_that_a_model_cannot_do_the_task(picture_window)


def cards(window: Window) -> Locator:
    return window.page.locator("[data-kind=grain] .card")


def unfold(window: Window, title: str) -> None:
    window.page.locator(".part-group .fold-button", has_text=title).click()


def cards_are_added_changed_ordered_turned_off_and_removed(window: Window, studio: Recorder) -> None:
    unfold(window, "Grain")
    add = window.page.get_by_role("button", name="Add Grain", exact=True)
    add.click()
    add.click()
    expect(cards(window)).to_have_count(2)
    cards(window).nth(0).get_by_label("Weight", exact=True).fill("0.25")
    cards(window).nth(1).get_by_label("Mode", exact=True).select_option("mix")
    cards(window).nth(1).get_by_label("Colour").check()
    cards(window).nth(1).get_by_label("Sample", exact=True).set_input_files(file("red"))  # type: ignore[arg-type]
    expect(cards(window).nth(1).locator("img")).to_be_visible()
    window.generate.click()
    expect(window.page.get_by_test_id("canvas")).to_contain_text("Not today.")
    first, second = studio.asked[-1].parts
    assert first == Grain(model="vae/sharp", weight=0.25)
    assert isinstance(second, Grain) and (second.model, second.mode, second.colour) == ("vae/soft", "mix", True)
    assert second.sample and colour_of(studio, second.sample) == (255, 0, 0)

    window.page.get_by_role("button", name="Move down Grain 1").click()
    expect(cards(window).nth(0).get_by_label("Film", exact=True)).to_have_value("vae/soft")
    window.page.get_by_label("Use Grain 1").uncheck()
    studio.refusal = InvalidRequest("Nor tomorrow.")
    window.generate.click()
    expect(window.page.get_by_test_id("canvas")).to_contain_text("Nor tomorrow.")
    assert studio.asked[-1].parts == (first,)
    window.page.get_by_role("button", name="Remove Grain 2").click()
    unfold(window, "Grain")
    expect(window.page.locator("[data-kind=grain] .fold-summary")).to_have_text("1 off")


def a_refused_field_of_a_card_is_named_at_the_card(window: Window, studio: Recorder) -> None:
    unfold(window, "Grain")
    for _ in range(2):
        window.page.get_by_role("button", name="Add Grain", exact=True).click()
    unfold(window, "Grain")
    studio.refusal = InvalidRequest("Weight is too much.", field="parts.1.weight")  # of those that were sent
    window.generate.click()
    error = cards(window).nth(2).locator(".is-weight .field-error")
    expect(error).to_be_visible()
    expect(error).to_have_text("Weight is too much.")
    cards(window).nth(2).get_by_label("Weight", exact=True).fill("0.1")
    expect(error).to_have_count(0)


def cards_that_the_next_model_does_not_take_stand_aside_and_come_back(window: Window, studio: Recorder) -> None:
    expect(window.page.get_by_role("button", name="Add VAE", exact=True)).to_be_hidden()  # one is all that there may be
    group = window.page.locator("[data-kind=vae]")
    window.field("Model").select_option("starter/crayon")
    expect(group).to_contain_text("Crayon takes no VAEs.")
    expect(window.page.locator("[data-kind=grain]")).to_have_count(0)
    window.make("a red heart")
    assert studio.asked[-1].parts == ()
    window.field("Model").select_option("starter/pencil")
    expect(group).not_to_contain_text("takes no")
    before = window.job
    window.generate.click()
    window.wait("done", other_than=before)
    assert [part.model_dump() for part in studio.asked[-1].parts] == [{"kind": "vae", "model": "vae/soft"}]


def all_parts_come_back_with_a_result(window: Window, studio: Recorder) -> None:
    unfold(window, "VAE")
    window.page.get_by_role("button", name="Add VAE", exact=True).click()
    window.page.get_by_label("VAE", exact=True).select_option("vae/soft")
    job = window.make("a red heart")
    window.page.get_by_role("button", name="Remove VAE 1").click()
    expect(window.page.locator(".card")).to_have_count(0)
    window.latest_result(studio.job(job).images[0]).click()
    expect(window.page.get_by_label("VAE", exact=True)).to_have_value("vae/soft")


def settings_of_upper_stages_come_and_go_with_the_model(window: Window, studio: Recorder) -> None:
    expect(window.field("Upper stages' steps")).to_be_hidden()
    window.field("Model").select_option("other/stages")
    expect(window.field("Upper stages' steps")).to_have_attribute("placeholder", "30")
    expect(window.page.locator(".block.is-width")).to_contain_text("128 × 128: then Ink")
    window.field("Upper stages' steps").fill("7")
    window.make("a heart")
    (upper,) = studio.asked[-1].parts
    assert upper.model_dump() == {"kind": "cascade", "steps": 7, "guidance_scale": None, "noise_level": None}
    window.field("Model").select_option("starter/pencil")
    expect(window.field("Noise level")).to_be_hidden()
    expect(window.page.locator(".block.is-width .field-note")).to_be_empty()


def test_cards_follow_the_model_come_back_and_are_changed_and_refused(window: Window, studio: Recorder) -> None:
    """One page, on which each part begins where the one before it ended."""
    all_parts_come_back_with_a_result(window, studio)
    cards_that_the_next_model_does_not_take_stand_aside_and_come_back(window, studio)
    window.page.get_by_role("button", name="Remove VAE 1").click()
    settings_of_upper_stages_come_and_go_with_the_model(window, studio)
    cards_are_added_changed_ordered_turned_off_and_removed(window, studio)
    a_refused_field_of_a_card_is_named_at_the_card(window, studio)
