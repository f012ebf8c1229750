"""The painter in a real browser: masks by mouse and by keys, the pixels that reach the studio, sketches, and its layers on their
own."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, expect

from studio.core.intents import settings_of
from studio.ui.fields import shown
from tests.e2e.window import Window
from tests.ui.fake_studio import MODELS, FakeStudio, pencil

pytestmark = pytest.mark.browser
SIZE = (320, 200)


def file(picture: Image.Image) -> Any:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return {"name": "a.png", "mimeType": "image/png", "buffer": data.getvalue()}


class Painter:
    """The painter over a picture, in that picture's pixels."""

    def __init__(self, window: Window, size: tuple[int, int] = SIZE):
        self.page, self.size = window.page, size
        self.root = self.page.get_by_test_id("painter")
        expect(self.root).to_be_visible()
        expect(self.root.locator(".painter-surface")).to_be_focused()

    def at(self, x: float, y: float) -> tuple[float, float]:
        box = self.root.locator(".painter-ground").bounding_box()
        assert box
        return box["x"] + x * box["width"] / self.size[0], box["y"] + y * box["height"] / self.size[1]

    def drag(self, *points: tuple[float, float]) -> None:
        self.page.mouse.move(*self.at(*points[0]))
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*self.at(*point), steps=3)
        self.page.mouse.up()

    def tool(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)


@pytest.fixture
def window(visit: Callable[..., Window], address: str, studio: FakeStudio) -> Window:
    window = visit(address, query="#inpaint")
    window.field("Picture").set_input_files(file(pencil("a red heart", *SIZE)))
    return window


def run(window: Window) -> None:
    before = window.job
    window.generate.click()
    window.wait("done", other_than=before)


def afresh(window: Window, prompt: str) -> None:
    """No mask, and the painter over another picture."""
    window.page.locator(".is-task-mask .picture-clear").click()
    window.field("Picture").set_input_files(file(pencil(prompt, *SIZE)))


def sent_mask(window: Window, studio: FakeStudio) -> np.ndarray[Any, Any]:
    """What the last request holds as mask."""
    request = studio.job(window.job).request
    with Image.open(studio.input_file(request.images()["task.mask"])) as picture:
        assert picture.mode == "L"
        return np.asarray(picture).astype(int)


def a_mask_painted_with_the_mouse_is_the_mask_of_the_run_pixel_by_pixel(window: Window, studio: FakeStudio) -> None:
    painter = Painter(window)  # it opens by itself over a picture without a mask
    painter.tool("Rectangle").click()
    painter.drag((40.5, 30.5), (120.5, 90.5))
    painter.tool("Brush").click()
    painter.root.get_by_label("Opacity").fill("0.5")
    painter.drag((200, 150), (260, 150), (200, 150), (260, 150))  # crossing itself makes it no denser
    run(window)  # at once: it waits for the last stroke
    expect(painter.root).to_be_hidden()
    mask = sent_mask(window, studio)
    assert mask.shape == SIZE[::-1]
    expected = np.zeros_like(mask)
    expected[30:90, 40:120] = 255
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    away = np.hypot(columns + 0.5 - np.clip(columns + 0.5, 200, 260), rows + 0.5 - 150)
    radius = 0.08 * SIZE[0] / 2
    expected[away < radius] = 128
    sure = np.abs(away - radius) > 2  # but for the soft rim of the stroke
    assert np.abs(mask - expected)[sure].max() <= 1


def the_painter_by_keys_and_the_way_back(window: Window, studio: FakeStudio) -> None:
    painter = Painter(window)
    keys = window.page.keyboard
    step = max(1, round(4 * SIZE[0] / painter.root.locator(".painter-ground").bounding_box()["width"]))  # type: ignore[index]
    for key in ("r", "Enter", *["Shift+ArrowRight"] * 2, "Shift+ArrowDown", "Enter"):
        keys.press(key)
    run(window)
    mask = sent_mask(window, studio)
    expected = np.zeros_like(mask)
    expected[100 : 100 + 10 * step, 160 : 160 + 20 * step] = 255
    assert np.array_equal(mask, expected)

    window.page.get_by_role("button", name="Go on painting the mask").click()
    for key in ("i", "Control+z", "Control+Shift+Z"):  # inverted, and so in the end
        keys.press(key)
    run(window)
    assert np.array_equal(sent_mask(window, studio), 255 - expected)

    window.page.get_by_role("button", name="Go on painting the mask").click()
    for key in ("g", *["ArrowLeft", "ArrowUp"] * 2, "Enter"):  # the hole in it, around the cross, is filled
        keys.press(key)
    run(window)
    assert sent_mask(window, studio).min() == 255

    window.page.get_by_role("button", name="Go on painting the mask").click()
    keys.press("Delete")
    expect(
        window.page.locator(".is-task-mask .picture-clear")
    ).to_be_hidden()  # nothing is painted, so there is no mask
    keys.press("Escape")
    expect(painter.root).to_be_hidden()


def a_mask_from_a_file_is_painted_on_and_stays_with_another_picture(window: Window, studio: FakeStudio) -> None:
    painter = Painter(window)
    given = np.zeros((100, 160), dtype=np.uint8)  # half the picture's size
    given[:, :40] = 200
    window.field("Mask").set_input_files(file(Image.fromarray(given)))
    expect(window.page.locator(".is-task-mask .picture-clear")).to_be_visible()
    expect(painter.tool("Undo")).to_be_enabled()
    painter.tool("Rectangle").click()
    painter.drag((240.5, 20.5), (300.5, 180.5))
    run(window)
    mask = sent_mask(window, studio)
    assert (mask[5:-5, 5:70] == 200).all() and (mask[20:180, 240:300] == 255).all() and not mask[:, 100:220].any()
    before = studio.job(window.job).request.images()
    window.page.get_by_role("button", name="Use this picture").click()
    window.page.get_by_role("menuitem", name="Use in Inpaint").click()
    expect(window.page.locator(".is-task-image .picture-size")).to_have_text("128 × 128")
    run(window)
    after = studio.job(window.job).request.images()
    assert after["task.mask"] == before["task.mask"] and after["task.image"] != before["task.image"]


def test_a_sketch_on_blank_ground_is_a_picture_to_start_from(
    visit: Callable[..., Window], address: str, studio: FakeStudio
) -> None:
    window = visit(address, query="#image-to-image")
    window.fill(Width="192", Height="128")
    window.page.get_by_role("button", name="Draw", exact=True).click()
    painter = Painter(window, (192, 128))
    painter.root.get_by_role("button", name="#2f64c8").click()
    painter.tool("Rectangle").click()
    painter.drag((20.5, 20.5), (90.5, 100.5))
    painter.root.get_by_role("button", name="#f2c230").click()
    painter.tool("Fill an area").click()
    painter.page.mouse.click(*painter.at(150, 60))
    run(window)
    with Image.open(studio.input_file(studio.job(window.job).request.images()["task.image"])) as sketch:
        assert sketch.size == (192, 128)
        assert [sketch.convert("RGB").getpixel(at) for at in ((50, 50), (150, 60))] == [(47, 100, 200), (242, 194, 48)]


LAYERS = """async () => {
    const folder = document.querySelector("link[href*='styles.css']").href.replace(/[^/]+$/, "");
    const { Tiles, flood } = await import(folder + "painter_tiles.js");
    const { History } = await import(folder + "painter_history.js");
    const { greyPng } = await import(folder + "painter_png.js");
    const tiles = new Tiles(1100, 700); // three columns and two rows of tiles
    const history = new History(tiles);
    const square = (x, y, size, how) => {
        const change = tiles.change({ colour: "#fff", ...how });
        change.draw({ x, y, width: size, height: size }, (pen) => pen.fillRect(x, y, size, size));
        history.keep();
    };
    const seen = {};
    seen.empty = tiles.isEmpty;
    square(500, 500, 40, {}); // over four tiles
    seen.touched = tiles.version.filter(Boolean).length;
    square(510, 510, 10, { opacity: 0.5, erase: true });
    const at = (x, y) => tiles.coverage()[y * 1100 + x];
    seen.levels = [at(500, 500), at(539, 539), at(515, 515), at(540, 540)];
    tiles.invert("#fff"); history.keep();
    seen.inverted = [at(500, 500), at(515, 515), at(0, 0), at(1099, 699)];
    seen.steps = [history.step(1), history.step(-1), history.step(-1), at(515, 515)];
    const ring = tiles.likeness(515, 515);
    seen.flooded = flood(1100, 700, 515, 515, ring).reduce((sum, [, from, to]) => sum + to - from + 1, 0);
    const cancelled = tiles.change({ colour: "#fff" });
    cancelled.draw(tiles.bounds, (pen) => pen.fillRect(0, 0, 1100, 700));
    cancelled.undo();
    seen.cancelled = at(0, 0);
    const bytes = Uint8Array.from({ length: 35 }, (_, index) => index * 7);
    seen.png = [...new Uint8Array(await (await greyPng(bytes, 7, 5)).arrayBuffer())];
    return seen;
}"""


def layers_history_and_files_of_the_painter(window: Window) -> None:
    seen = window.page.evaluate(LAYERS)
    with Image.open(io.BytesIO(bytes(seen.pop("png")))) as picture:
        assert (picture.mode, picture.size) == ("L", (7, 5))
        assert list(picture.tobytes()) == [index * 7 for index in range(35)]
    half = seen["levels"][2]
    assert half in (127, 128)
    assert seen == {
        "empty": True,
        "touched": 4,
        "levels": [255, 255, half, 0],
        "inverted": [0, 255 - half, 255, 255],
        "steps": [False, True, True, 255],
        "flooded": 1600,
        "cancelled": 0,
    }


def two_fingers_move_the_picture_and_paint_nothing_and_a_pen_presses(window: Window) -> None:
    painter = Painter(window)
    scale = painter.root.locator(".is-percent")
    before = scale.text_content()
    touch = """(surface, steps) => {
        surface.setPointerCapture = () => {}; // no pointer is there to capture
        const box = surface.getBoundingClientRect();
        for (const [type, pointerId, x, y, pointerType, pressure] of steps)
            surface.dispatchEvent(new PointerEvent(type, { pointerId, pointerType, pressure, bubbles: true, cancelable: true, button: 0, clientX: box.left + x, clientY: box.top + y }));
    }"""
    surface = painter.root.locator(".painter-surface")
    fingers = [("pointerdown", 7, 300, 300), ("pointermove", 7, 310, 310), ("pointerdown", 8, 400, 300)]
    fingers += [("pointermove", 8, 600, 300), ("pointerup", 8, 600, 300), ("pointerup", 7, 310, 310)]
    surface.evaluate(touch, [[*each, "touch", 1] for each in fingers])
    expect(scale).not_to_have_text(str(before))
    expect(painter.tool("Undo")).to_be_disabled()
    painter.page.keyboard.press("0")
    pen = [("pointerdown", 9, 300, 300), ("pointermove", 9, 330, 300), ("pointerup", 9, 330, 300)]
    surface.evaluate(touch, [[*each, "pen", 0.5] for each in pen])
    expect(painter.tool("Undo")).to_be_enabled()
    size = painter.root.get_by_label("Size")
    now = size.input_value()
    surface.hover()
    painter.page.keyboard.down("Shift")
    painter.page.mouse.wheel(0, -100)
    painter.page.keyboard.up("Shift")
    assert float(size.input_value()) > float(now)
    painter.page.keyboard.press("[")
    assert size.input_value() == pytest.approx(float(now), abs=0.02) or float(size.input_value()) < 1


def an_intent_sets_its_knobs_and_shows_which_were_overruled(window: Window, studio: FakeStudio) -> None:
    painter = Painter(window)
    remove, add = (settings_of(intent, MODELS[0]) for intent in ("remove", "add"))
    window.page.get_by_role("radio", name="Remove").check(force=True)
    expect(window.field("Strength")).to_have_value(shown(remove.strength))
    sets = window.page.locator(".intent-sets")
    expect(sets).to_contain_text("Masked content Fill from around")
    expect(window.field("Extend left")).to_be_hidden()
    window.fill(Strength="0.45")
    expect(sets.locator(".is-overruled")).to_have_text("Strength 0.45")
    window.page.get_by_role("button", name="Set again").click()
    expect(window.field("Strength")).to_have_value(shown(remove.strength))
    window.page.get_by_role("radio", name="Extend").check(force=True)
    window.field("Extend left").fill("64")
    window.page.get_by_role("radio", name="Add").check(force=True)
    expect(window.field("Extend left")).to_be_hidden()  # and it extends no more
    painter.tool("Fill everything").click()
    painter.tool("Box that the model sees").click()
    painter.drag((10.5, 20.5), (110.5, 90.5))
    run(window)
    made = studio.job(window.job)
    task = made.request.task.model_dump()
    assert (task["intent"], task["context"], task["box"], task["extend_left"]) == ("add", "box", "10,20,100,70", 0)
    assert (task["content"], task["strength"]) == (add.content, add.strength)
    window.fill(Strength="0.45")
    window.latest_result(made.images[0]).click()
    expect(window.field("Strength")).to_have_value(shown(add.strength))
    expect(sets.locator(".is-overruled")).to_have_text("Context Box")


def test_masks_by_keys_from_a_file_and_by_mouse_finger_and_pen(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    the_painter_by_keys_and_the_way_back(window, studio)
    window.field("Picture").set_input_files(file(pencil("a blue heart", *SIZE)))  # there is no mask
    a_mask_from_a_file_is_painted_on_and_stays_with_another_picture(window, studio)
    afresh(window, "a green heart")
    a_mask_painted_with_the_mouse_is_the_mask_of_the_run_pixel_by_pixel(window, studio)
    afresh(window, "a pink heart")
    two_fingers_move_the_picture_and_paint_nothing_and_a_pen_presses(window)
    an_intent_sets_its_knobs_and_shows_which_were_overruled(window, studio)
    layers_history_and_files_of_the_painter(window)
