"""The Models tab in a real browser: what is there is listed, found, asked for by name; what becomes of it is shown at once."""

import io
import re
from collections.abc import Callable

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from studio.core.errors import StudioError
from studio.core.memory import ImportView, MoveView, PendingCommand
from studio.core.models import ModelInfo
from tests.e2e.window import Window
from tests.ui.fake_memory import MIB
from tests.ui.fake_studio import MODELS, FakeStudio

pytestmark = pytest.mark.browser
Visit = Callable[..., Window]

MARKUP = "<b>bold</b><img src=x onerror=alert(1)>"
LONG = "a name that goes on and on " * 6 + "v1.0-final-pruned-emaonly-fp16"
FILES = [
    ModelInfo(id="checkpoints/one", title="One", kind="checkpoint", family="sd1", bytes=2 * 2**30),
    ModelInfo(id=f"checkpoints/{MARKUP}", title=MARKUP, kind="checkpoint", family="sdxl", bytes=6 * 2**30),
    ModelInfo(
        id="checkpoints/" + LONG.replace(" ", "_"), title=LONG.replace(" ", "_"), kind="checkpoint", family="sd1"
    ),
    ModelInfo(id="vae/clear", title="Clear", kind="vae", bytes=300 * MIB),
    ModelInfo(id="loras/ink", title="Ink", kind="lora", bytes=9 * MIB),
]
BAD = [
    ModelInfo(id=f"checkpoints/bad{number}", title=f"bad{number}", kind="unknown", problem=problem)
    for number, problem in enumerate(("The file is empty.", f"This is {MARKUP}."))
]


def tab(window: Window) -> Page:
    window.open_tab("Models")
    expect(window.page.locator(".browser-card").first).to_be_visible()
    return window.page


def card(page: Page, title: str) -> Locator:
    return page.locator(".browser-card").filter(has=page.get_by_role("heading", name=title, exact=True))


def models_are_listed_searched_and_loaded_by_name(window: Window, studio: FakeStudio) -> None:
    page = tab(window)
    cards = page.locator(".browser-card")
    expect(cards).to_have_count(2)
    expect(page.locator(".browser-memory .browser-figures")).to_have_text("412 MiB of 8.0 GiB on the CPU")
    page.get_by_label("Search models").fill("pixart")
    expect(cards).to_have_count(1)
    expect(cards).to_contain_text("Crayon")
    for name in ("Load Crayon", "Unload all"):
        with page.expect_response(lambda answer: "manage" in (answer.request.post_data or "")):
            page.get_by_role("button", name=name).click()
    assert [(command.action, command.model) for command in studio.commands] == [
        ("load", "starter/crayon"),
        ("unload", ""),
    ]
    page.get_by_label("Search models").fill("")


def what_is_in_memory_is_named_part_by_part_and_changes_are_pushed_failures_and_refusals_too(
    window: Window, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(command: object) -> None:
        raise StudioError("The worker is starting; try again in a moment.")

    studio.forget_memory()
    page = tab(window)
    held = page.get_by_role("list", name="Models in memory")
    expect(held).to_contain_text("Pencil")
    for text in ("U-Net", "300 MiB", "Text encoder", "80 MiB", "VAE", "32 MiB"):
        expect(held).to_contain_text(text)
    pencil, crayon = card(page, "Pencil"), card(page, "Crayon")
    expect(pencil).to_contain_text("in memory")
    crayon.get_by_role("button", name="Load Crayon").click()
    studio.change(
        pending=(PendingCommand(action="load", model="starter/crayon", what="reading transformer", fraction=0.4),)
    )
    expect(crayon.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "40")
    expect(crayon).to_contain_text("Loading: reading transformer")
    residents = (("transformer", 200 * MIB), ("vae", 32 * MIB))
    both = ("starter/pencil", "starter/crayon")
    studio.change(pending=(), models=both, pinned=("starter/crayon",), residents=residents, holders=(both[1:], both))
    expect(crayon).to_contain_text("in memory, pinned")
    expect(crayon.get_by_role("button", name="Unpin Crayon")).to_be_visible()
    expect(crayon.get_by_role("progressbar")).to_have_count(0)
    expect(held).to_contain_text("Shared: Pencil, Crayon")
    studio.change(problems={"starter/crayon": f"It does not fit: {MARKUP}."})
    expect(card(page, "Crayon")).to_contain_text(f"It does not fit: {MARKUP}.")
    expect(card(page, "Pencil")).not_to_contain_text("does not fit")
    expect(page.locator(".browser-card img")).to_have_count(0)
    monkeypatch.setattr(studio, "manage", refuse)
    pencil.get_by_role("button", name="Pin Pencil").click()
    expect(pencil).to_contain_text("The worker is starting; try again in a moment.")


def a_model_is_hidden_from_its_details_and_brought_back_from_among_the_hidden(page: Page, studio: FakeStudio) -> None:
    studio.words.clear()
    show, count = page.get_by_label("Show", exact=True), page.locator(".browser-count")
    expect(count).to_have_text("9 files")
    page.get_by_role("button", name="Details One").press("Enter")
    page.get_by_role("dialog").get_by_label("Hidden", exact=True).check(force=True)
    expect(count).to_have_text("8 files, 1 hidden")
    page.keyboard.press("Escape")
    expect(show).to_be_focused()  # its card is gone
    page.get_by_role("button", name="Hide bad0").press("Enter")
    expect(page.get_by_role("button", name="Hide bad1")).to_be_focused()
    assert [(model, words.model_dump(exclude_unset=True)) for model, words in studio.words] == [
        ("checkpoints/one", {"hidden": True}),
        ("checkpoints/bad0", {"hidden": True}),
    ]
    show.select_option("Hidden (2)")
    expect(count).to_have_text("2 hidden files")
    expect(card(page, "One").get_by_role("button", name="Load One")).to_have_count(0)
    page.get_by_role("button", name="Show again One").click()
    expect(page.locator(".browser-card")).to_have_count(1)
    page.get_by_role("button", name="Show again bad0").click()
    expect(show).to_have_value("")  # nothing is hidden any more
    expect(count).to_have_text("9 files")


def test_a_hidden_model_is_in_the_form_s_menu_only_with_its_own_pictures(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    studio.offer(*MODELS)
    window = visit(address)
    menu = window.field("Model")
    menu.select_option("Crayon")
    window.make("a red heart", Steps="2")
    page = tab(window)
    page.get_by_role("button", name="Details Crayon").click()
    page.get_by_role("dialog").get_by_label("Hidden", exact=True).check(force=True)
    expect(page.locator(".browser-count")).to_have_text("1 file, 1 hidden")
    page.keyboard.press("Escape")
    page.get_by_role("navigation").get_by_role("link", name="Text to image").click()
    expect(menu.locator("option")).to_have_text(["Pencil"])
    window.results.first.click()
    expect(menu.locator("option")).to_have_text(["Pencil", "Crayon"])
    expect(menu).to_have_value("starter/crayon")


def a_single_file_is_prepared_with_a_bar_and_can_be_stopped(page: Page, studio: FakeStudio) -> None:
    one = card(page, "One")
    one.get_by_role("button", name="Prepare One", exact=True).click()
    studio.change(imports=(ImportView(model="checkpoints/one", dtype="fp16", what="converting unet", fraction=0.25),))
    expect(one.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "25")
    expect(one).to_contain_text("Preparing: converting U-Net 25%")
    one.get_by_role("button", name="Stop preparing One").click()
    studio.change(imports=(ImportView(model="checkpoints/one", dtype="fp16", problem="The disk is full."),))
    expect(one).to_contain_text("The disk is full.")
    expect(one.get_by_role("button", name="Prepare again One")).to_be_visible()
    one.get_by_role("button", name="Prepare again One").focus()
    studio.change(imports=(), prepared=("checkpoints/one",))
    expect(one).to_contain_text("prepared")
    expect(one.get_by_role("button", name="Details One")).to_be_focused()
    expect(one.get_by_role("button", name=re.compile("Prepare"))).to_have_count(0)
    assert [command.action for command in studio.commands] == ["import", "cancel_import"]


def test_on_a_phone_names_are_text_bad_files_stand_apart_and_nothing_is_wider_than_the_screen(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    studio.offer(*MODELS, *FILES, *BAD)
    page = tab(visit(address, viewport={"width": 390, "height": 844}))
    expect(card(page, MARKUP)).to_be_visible()
    bad = page.get_by_role("list", name="Files that cannot be used")
    expect(bad.get_by_role("listitem")).to_have_count(2)
    expect(bad).to_contain_text("The file is empty.")
    expect(bad.get_by_role("button")).to_have_text(["Hide", "Hide"])
    assert page.locator(".browser-body b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    studio.ledger.append(MoveView(time=1e9, move="load", component="unet", predicted=1, measured=2, seconds=0.2))
    page.get_by_text("Memory log", exact=True).click()
    expect(page.locator(".browser-table tbody tr")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Details Crayon").click()
    expect(page.locator(".browser-stage")).to_have_count(3)
    inside = "(() => { const d = document.querySelector('.browser-details'); return d.scrollWidth - d.clientWidth; })()"
    assert page.evaluate(inside) == 0


def a_model_s_picture_is_its_preview_or_else_dots_of_its_own(page: Page) -> None:
    expect(card(page, "One").locator("img")).to_have_js_property("naturalWidth", 40)
    dots = [card(page, title).locator("svg path").get_attribute("d") for title in ("Pencil", "Crayon")]
    assert all(dots) and dots[0] != dots[1]


def the_latest_moves_are_shown_and_followed(window: Window, studio: FakeStudio) -> None:
    row = MoveView(
        time=1e9,
        move="load",
        component="unet",
        models=("starter/pencil", "gone/away"),
        predicted=300 * MIB,
        measured=320 * MIB,
        seconds=0.25,
    )
    studio.ledger.append(row)
    page = tab(window)
    page.get_by_text("Memory log", exact=True).click()
    rows = page.locator(".browser-table tbody tr")
    expect(rows).to_have_count(1)
    for text in ("Loaded", "Pencil, gone/away", "U-Net", "300 MiB", "320 MiB", "0.3 s"):
        expect(rows.first).to_contain_text(text)
    studio.ledger.insert(0, row.model_copy(update={"move": "evict", "reason": "not wanted again"}))
    studio.change(residents=(), holders=())
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("not wanted again")


def by_keyboard_alone_a_model_is_given_another_vae_and_its_run_is_planned(page: Page, studio: FakeStudio) -> None:
    details = page.get_by_role("button", name="Details One")
    details.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="One")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".browser-stage")).to_have_count(3)
    with page.expect_response(lambda answer: "plan" in (answer.request.post_data or "")):  # another VAE, another plan
        dialog.get_by_label("VAE", exact=True).select_option("Clear")
    expect(dialog).to_contain_text("Saved.")
    dialog.get_by_label("Title", exact=True).fill("  Uno ")
    page.keyboard.press("Tab")
    expect(dialog).to_contain_text("Saved.")
    dialog.get_by_label("VAE", exact=True).select_option("Its own")
    page.wait_for_function("document.querySelector('.browser-details [role=status]').textContent.startsWith('Saved')")
    assert [(model, words.model_dump(exclude_unset=True)) for model, words in studio.words] == [
        ("checkpoints/one", {"vae": "vae/clear"}),
        ("checkpoints/one", {"title": "Uno"}),
        ("checkpoints/one", {"vae": None}),
    ]
    stages = dialog.locator(".browser-stage")
    expect(stages).to_have_count(3)
    expect(stages.nth(1)).to_contain_text("Denoising")
    dialog.get_by_label("Width", exact=True).fill("8192")
    dialog.get_by_label("Height", exact=True).fill("8192")
    expect(dialog).to_contain_text("raise the budget")
    expect(stages).to_have_count(0)
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(details).to_be_focused()


def test_files_are_pictured_prepared_planned_and_hidden(visit: Visit, address: str, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    studio.offer(*MODELS, FILES[0].model_copy(update={"preview": "one.png"}), *FILES[1:], *BAD)
    out = io.BytesIO()
    Image.new("RGB", (40, 60), "teal").save(out, "JPEG")
    studio.pictures["checkpoints/one"] = out.getvalue()
    page = tab(visit(address))
    a_model_s_picture_is_its_preview_or_else_dots_of_its_own(page)
    a_single_file_is_prepared_with_a_bar_and_can_be_stopped(page, studio)
    by_keyboard_alone_a_model_is_given_another_vae_and_its_run_is_planned(page, studio)
    a_model_is_hidden_from_its_details_and_brought_back_from_among_the_hidden(page, studio)


@pytest.mark.sweep
def test_of_three_hundred_files_the_one_in_hand_keeps_the_keyboard_s_place(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    many = [FILES[0].model_copy(update={"id": f"many/{n}", "title": f"Model {n}"}) for n in range(300)]
    studio.offer(*MODELS, *many)
    page = tab(visit(address))
    expect(page.locator(".browser-card")).to_have_count(302)
    button = page.get_by_role("button", name="Load Model 7", exact=True)
    button.focus()
    page.evaluate("document.querySelector('#browser-search').value = 'model 7'")
    page.evaluate("document.querySelector('#browser-search').dispatchEvent(new Event('input'))")
    expect(page.locator(".browser-card")).to_have_count(57)  # whose names hold a 7
    expect(button).to_be_focused()
    studio.change(models=("many/7",))
    unload = page.get_by_role("button", name="Unload Model 7", exact=True)
    expect(unload).to_be_focused()


def without_any_model_it_says_what_belongs_there(window: Window, studio: FakeStudio) -> None:
    window.open_tab("Text to image")
    studio.offer()  # every file was deleted while the page was open
    window.open_tab("Models")
    expect(window.page.get_by_text("No models are here yet.", exact=False)).to_be_visible()


def test_what_is_in_memory_is_shown_as_it_changes(
    window: Window, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page, on which each part begins where the one before it ended."""
    models_are_listed_searched_and_loaded_by_name(window, studio)
    the_latest_moves_are_shown_and_followed(window, studio)
    what_is_in_memory_is_named_part_by_part_and_changes_are_pushed_failures_and_refusals_too(
        window, studio, monkeypatch
    )
    without_any_model_it_says_what_belongs_there(window, studio)
