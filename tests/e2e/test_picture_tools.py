"""The tools beside the picture in a real browser: zoom, grid, recipe, comparing, favourites, the trash, and use in another tab."""

import io
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
Visit = Callable[..., Window]


def tool(window: Window, name: str) -> Locator:
    return window.page.get_by_role("toolbar", name="Picture tools").get_by_role("button", name=name, exact=True)


def width(window: Window) -> float:
    found = window.page.locator("#workbench .picture").bounding_box()
    assert found is not None
    return found["width"]


def wide(window: Window, least: float, most: float | None = None) -> None:
    """Waits until the picture is so wide: it is drawn with the browser's next frame."""
    window.page.wait_for_function(
        "([least, most]) => { const { width } = document.querySelector('#workbench .picture').getBoundingClientRect();"
        " return least <= width && width <= most; }",
        arg=[least, least if most is None else most],
    )


def panel(window: Window, title: str) -> Locator:
    return window.page.get_by_role("complementary", name=title)


def zoom_shows_own_pixels_follows_the_wheel_and_fits_again(window: Window) -> None:
    window.wait_frames()
    fitted = width(window)
    window.page.locator("#workbench .stage").click(position={"x": 20, "y": 20})
    window.page.keyboard.press("1")
    wide(window, 128)
    window.page.keyboard.press("0")
    wide(window, fitted)
    tool(window, "Zoom in").click()
    wide(window, fitted * 1.25 - 2, fitted * 1.25 + 2)
    window.page.locator("#workbench .stage").hover()
    window.page.mouse.wheel(0, -400)
    wide(window, fitted * 1.25 + 3, 1e6)
    larger = width(window)
    middle = window.page.locator("#workbench .picture").bounding_box()
    window.page.mouse.down()
    window.page.mouse.move(700, 300)
    window.page.mouse.up()
    assert window.page.locator("#workbench .picture").bounding_box() != middle
    window.step.focus()
    window.page.keyboard.press("ArrowLeft")
    assert width(window) == larger  # a step of the same picture keeps the scale
    window.page.keyboard.press("0")
    wide(window, fitted)


def several_images_are_a_grid_and_a_click_enlarges_one(window: Window, studio: FakeStudio) -> None:
    job = window.make("a red heart", Count="3", Seed="40", Steps="12")
    cells = window.page.locator(".grid-picture")
    expect(cells).to_have_count(3)
    expect(cells.locator("img")).to_have_count(3)
    for cell, image in zip(cells.all(), studio.job(job).images, strict=True):
        expect(cell.locator("img")).to_have_attribute("src", f"{_origin(window)}/images/{image}")
    expect(tool(window, "Delete")).to_be_disabled()  # of several, none is meant
    cells.nth(1).click()
    expect(cells).to_have_count(0)
    expect(tool(window, "Delete")).to_be_enabled()
    assert studio.job(job).images[1] in window.picture()
    tool(window, "All images of this run").click()
    expect(cells).to_have_count(3)
    window.page.keyboard.press("ArrowLeft")  # a step of the one that was looked at
    expect(cells).to_have_count(0)
    expect(window.step).to_have_value("11")


def the_recipe_is_read_copied_and_follows_the_picture(window: Window) -> None:
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tool(window, "Recipe").click()
    recipe = panel(window, "Recipe")
    expect(recipe).to_contain_text("a green ring")
    expect(recipe).to_contain_text("DPM++ 2M")
    recipe.get_by_role("button", name="Copy as AUTOMATIC1111 text").click()
    expect(window.page.get_by_text("Copied.")).to_be_visible()
    assert "a green ring\nSteps: 7, Sampler: DPM++ 2M" in window.page.evaluate("navigator.clipboard.readText()")
    recipe.get_by_role("button", name="Copy as JSON").click()
    window.page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('{'))")
    assert window.page.evaluate("navigator.clipboard.readText().then((text) => JSON.parse(text).request.steps)") == 7
    window.make("a blue ring")
    expect(recipe).to_contain_text("a blue ring")
    window.page.keyboard.press("Escape")
    expect(recipe).to_be_hidden()


def two_pictures_are_compared_with_a_divider_and_what_differs(window: Window, studio: FakeStudio) -> None:
    window.make("a red heart", Seed="1", Steps="7")
    last = studio.job(window.make("a blue ring", Seed="2", Steps="7"))
    window.latest_result(last.images[0])
    other = window.results.nth(1)
    tool(window, "Compare with another picture").click()
    expect(window.page.get_by_text("Choose a picture in Recent to compare with.")).to_be_visible()
    other.click()
    comparison = window.page.get_by_role("group", name="Comparison")
    expect(comparison.get_by_role("img", name="Left: seed 2")).to_be_visible()
    differences = panel(window, "What differs")
    expect(differences.locator("dt")).to_have_text(["Prompt", "Seed"])
    expect(window.field("Prompt")).to_have_value("a blue ring")  # comparing brings no settings back
    divider = comparison.get_by_role("slider", name="Divider")
    divider.press("Home")
    expect(divider).to_have_value("0")
    window.page.keyboard.press("Escape")
    expect(comparison).to_be_hidden()
    expect(differences).to_be_hidden()
    other.click(modifiers=["Shift"])
    expect(comparison).to_be_visible()
    before = window.job
    window.fill(Prompt="a green ring")
    window.generate.click()
    window.wait("done", other_than=before)
    expect(comparison).to_be_hidden()


def a_favourite_has_a_star_and_a_list_of_its_own(window: Window, studio: FakeStudio) -> None:
    kept = studio.images()[0].id
    tool(window, "Favourite").click()
    expect(tool(window, "Favourite")).to_have_attribute("aria-pressed", "true")
    window.make("a blue ring")
    expect(tool(window, "Favourite")).to_have_attribute("aria-pressed", "false")
    made = len(studio.images())
    expect(window.results).to_have_count(made)
    window.page.get_by_role("button", name="Favourites only").click()
    expect(window.results).to_have_count(1)
    expect(window.results.first).to_have_attribute("data-id", kept)
    window.page.get_by_role("button", name="Favourites only").click()
    expect(window.results).to_have_count(made)
    assert [view.id for view in studio.images(favourites=True)] == [kept]


def a_deleted_picture_goes_to_the_trash_and_can_be_taken_back(window: Window, studio: FakeStudio) -> None:
    job = window.make("a red heart")
    [image] = studio.job(job).images
    expect(window.results).to_have_count(1)
    expect(window.results.locator("img")).to_have_js_property("complete", True)  # its thumbnail is asked for no more
    window.page.keyboard.press("Delete")
    expect(window.page.get_by_text("This picture was deleted")).to_be_visible()
    expect(window.results).to_have_count(0)
    assert (studio.folder / "trash" / f"{image}.png").is_file()
    expect(tool(window, "Delete")).to_be_disabled()
    window.page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(window.results).to_have_count(1)
    expect(window.page.locator("#workbench .picture img")).to_have_attribute("src", f"{_origin(window)}/images/{image}")
    assert studio.image_file(image).is_file()


def a_picture_is_used_in_another_tab_and_where_the_model_takes_none_it_is_said(window: Window) -> None:
    control = window.page.locator(".field.is-task-image .picture-control")
    for title in ("Image to image", "Inpaint"):
        tool(window, "Use this picture").click()
        window.page.get_by_role("menuitem", name=f"Use in {title}").click()
        expect(window.page).to_have_title(f"{title} · Unnoise")
        expect(control.locator("img")).to_be_visible()
        expect(control.locator("img")).to_have_js_property("naturalWidth", 128)
        window.page.get_by_role("button", name="Remove picture").first.click()
        expect(control.locator("img")).to_be_hidden()
        window.open_tab("Text to image")
    tool(window, "Use this picture").click()
    window.page.get_by_role("menuitem", name="Use in ControlNet").click()  # which its model does not take
    expect(window.page.get_by_text("The chosen model has no place for a picture there")).to_be_visible()


def the_picture_is_copied_and_its_path_where_no_folder_can_be_opened(window: Window, studio: FakeStudio) -> None:
    window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    job = window.job
    tool(window, "Open its folder, or copy its path").click()
    expect(window.page.get_by_text("Path copied")).to_be_visible()
    assert studio.job(job).images[0] in window.page.evaluate("navigator.clipboard.readText()")
    tool(window, "Copy the picture").click()
    expect(window.page.get_by_text("Picture copied.")).to_be_visible()
    types = window.page.evaluate("navigator.clipboard.read().then(([item]) => item.types)")
    assert types == ["image/png"]


def test_the_tools_beside_a_picture(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_deleted_picture_goes_to_the_trash_and_can_be_taken_back(window, studio)
    zoom_shows_own_pixels_follows_the_wheel_and_fits_again(window)
    a_favourite_has_a_star_and_a_list_of_its_own(window, studio)
    a_picture_is_used_in_another_tab_and_where_the_model_takes_none_it_is_said(window)
    two_pictures_are_compared_with_a_divider_and_what_differs(window, studio)
    the_recipe_is_read_copied_and_follows_the_picture(window)
    the_picture_is_copied_and_its_path_where_no_folder_can_be_opened(window, studio)
    several_images_are_a_grid_and_a_click_enlarges_one(window, studio)


def _origin(window: Window) -> str:
    return str(window.page.evaluate("location.origin"))


def test_candidates_are_kept_discarded_gone_on_from_and_seen_before_and_after(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    window = visit(address, query="#image-to-image")
    data = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(data, "PNG")
    source = {"name": "a.png", "mimeType": "image/png", "buffer": data.getvalue()}
    window.field("Picture").set_input_files(source)  # type: ignore[arg-type]
    expect(window.page.locator(".is-task-image .picture-size")).to_have_text("64 × 64")
    job = window.make("a red heart", Count="4")
    images = studio.job(job).images
    cells = window.page.locator(".grid-cell:visible")

    def act(name: str) -> None:
        window.page.get_by_role("button", name=name).dispatch_event("click")

    act("Discard it: image 2")
    expect(cells).to_have_count(3)
    window.page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(cells).to_have_count(4)
    act("Discard it: image 1")
    expect(cells).to_have_count(3)
    act("Keep it, discard the others: image 3")
    expect(window.page.get_by_text("2 pictures moved to the trash.")).to_be_visible()
    expect(window.page.locator("#workbench .picture img")).to_have_attribute(
        "src", f"{_origin(window)}/images/{images[2]}"
    )
    assert [view.id for view in studio.images()] == [images[2]]
    window.page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(window.results).to_have_count(3)

    tool(window, "Before and after").click()
    comparison = window.page.get_by_role("group", name="Comparison")
    before = comparison.get_by_role("img", name="Left: Before")
    request = studio.job(job).request
    expect(before).to_have_attribute("src", f"{_origin(window)}/inputs/{request.images()['task.image']}")
    expect(comparison.get_by_role("slider", name="Divider")).to_be_focused()
    comparison.get_by_role("button", name="Compare with another picture").click()
    window.results.first.click()
    expect(panel(window, "What differs").locator("dt")).to_have_text(["Seed"])
    window.page.keyboard.press("Escape")

    tool(window, "All images of this run").click()
    act("Go on from it: image 2")
    expect(window.page.locator(".is-task-image .picture-size")).to_have_text("128 × 128")
    before_job = window.job
    window.generate.click()
    done = window.wait("done", other_than=before_job)
    assert studio.job(done).request.images() != request.images()
