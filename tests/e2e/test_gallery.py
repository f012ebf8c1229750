"""The Gallery tab in a real browser, over a real studio's archive: find, choose, compare, look at, delete, restore, send on."""

import random
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from studio.core.settings import Settings
from studio.core.tasks import ImageToImage
from studio.jobs.archive import Archive
from studio.jobs.database import Database
from studio.jobs.storage import PRIVATE
from studio.studio import Studio
from tests import gallery_pictures as pictures
from tests.e2e.conftest import served
from tests.jobs.conftest import FixedCatalog
from tests.jobs.test_gallery import ids

pytestmark = pytest.mark.browser
COLOURS = ("teal", "navy", "plum", "olive", "coral", "gold")


def fill(outputs: Path) -> list[str]:
    """Six pictures, newest first; the newest was made from the oldest."""
    database = Database(outputs / PRIVATE / "studio.db")
    archive = Archive(outputs, database)
    asked = pictures.request(random.Random(1)).changed(parts=(), task={"kind": "text_to_image"}, model="starter/fake")
    made: list[Any] = []
    for number, colour in enumerate(COLOURS):
        request = asked.changed(prompt=f"a {colour} boat", seed=number)
        if colour == "gold":
            request = request.changed(task=ImageToImage(image=made[0].sha256))
        parent = made[0].sha256 if colour == "gold" else None
        made.append(archive.save(pictures.picture(colour), pictures.recipe(request, parent=parent), "job"))
    database.close()
    return [event.id for event in reversed(made)]


def test_pictures_are_found_chosen_compared_looked_at_deleted_restored_and_sent_on(
    tmp_path: Path, visit: Callable[..., Page]
) -> None:
    saved = fill(tmp_path / "out")
    settings = Settings(outputs=tmp_path / "out", models=(tmp_path / "models",))
    catalog: Any = FixedCatalog()
    with (
        closing(Studio(settings, catalog=catalog, entry="tests.jobs.fake_worker:main")) as studio,
        served(studio) as address,
    ):
        page = visit(address, query="#gallery", wait=False)
        tiles, count = page.locator(".gallery-tile"), page.locator(".gallery-count")
        search = page.get_by_label("Search prompts")
        chosen = page.get_by_role("toolbar", name="Chosen pictures")
        expect(tiles).to_have_count(6)
        expect(tiles.first).to_have_attribute("data-id", saved[0])
        expect(count).to_have_text("6 pictures")

        search.fill("boat -navy -plum")
        expect(count).to_have_text("4 of 6 pictures")
        search.fill("zebra")
        page.get_by_role("button", name="Clear search and filters").click()
        expect(tiles).to_have_count(6)
        page.get_by_label("Filter by task").select_option("image_to_image")
        expect(count).to_have_text("1 of 6 pictures")
        page.get_by_label("Filter by task").select_option("")
        expect(tiles).to_have_count(6)

        tiles.nth(1).click()
        tiles.nth(4).click(modifiers=["Shift"])
        expect(chosen).to_contain_text("4 chosen")
        tiles.nth(4).click(modifiers=["Control"])
        expect(chosen).to_contain_text("3 chosen")
        page.keyboard.press("s")
        expect(page.locator(".gallery-tile[data-favourite]")).to_have_count(3)
        page.keyboard.press("Escape")
        expect(chosen).to_be_hidden()
        page.keyboard.press("Home")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Space")  # taken back
        page.keyboard.press("Space")
        page.keyboard.press("Shift+ArrowRight")
        expect(chosen).to_contain_text("2 chosen")
        chosen.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("complementary", name="What differs")).to_contain_text("a coral boat")
        page.keyboard.press("Escape")
        with page.expect_download() as download:
            chosen.get_by_role("button", name="Download").click()
        assert download.value.suggested_filename.endswith(".zip")

        page.keyboard.press("Escape")
        page.locator(".gallery-list").focus()
        page.keyboard.press("Home")
        page.keyboard.press("Enter")
        view = page.get_by_role("dialog", name="Picture")
        expect(view.locator(".view-place")).to_have_text("1 of 6")
        expect(view.locator(".picture img")).to_have_attribute("src", f"{address}/images/{saved[0]}")
        view.locator(".descent").filter(has_text="Made from").get_by_role("button").click()
        expect(view.locator(".view-place")).to_have_text("6 of 6")
        expect(view.locator(".descent h3")).to_have_text("Made from it")
        expect(view.locator(".recipe")).to_contain_text("a teal boat")
        page.keyboard.press("Delete")
        expect(view.locator(".view-place")).to_have_text("5 of 5")
        page.keyboard.press("Escape")
        expect(count).to_have_text("5 pictures")

        page.get_by_role("button", name="Trash (1)").click()
        expect(tiles).to_have_count(1)
        tiles.first.click()
        chosen.get_by_role("button", name="Restore").click()
        page.get_by_role("button", name="Back to all pictures").click()
        expect(tiles).to_have_count(6)
        page.keyboard.press("Tab")
        tiles.nth(5).click()
        page.locator(".gallery-list").press("Delete")
        page.get_by_role("button", name="Trash (1)").click()
        page.get_by_role("button", name="Empty the trash").click()
        page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
        expect(page.locator(".gallery-none")).to_contain_text("The trash is empty.")
        assert ids(studio._archive) == saved[:5] and ids(studio._archive, trash=True) == []

        page.get_by_role("button", name="Back to all pictures").click()
        (tmp_path / "out" / studio.image(saved[1]).path).unlink()  # behind our back
        page.reload()
        expect(count).to_have_text("4 pictures")
        expect(page.locator(".gallery-tile.is-lost")).to_have_count(0)
        tiles.nth(1).click()
        chosen.get_by_role("button", name="Send to").click()
        page.get_by_role("menuitem", name="Use in Image to image").click()
        expect(page.locator(".field.is-prompt textarea")).to_have_value("a olive boat")
        expect(page.locator(".field.is-task-image:visible img")).to_be_visible()
        assert page.url.endswith("#image-to-image")
        page.close()  # before its studio
