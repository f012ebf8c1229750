"""The Models tab over the real studio: its worker loads, unloads and converts real (if tiny) files, and the page sees it happen."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from studio.core.settings import Settings
from studio.manager.disk.attachments import CONTEXT_FAMILY
from studio.studio import Studio
from tests.e2e.conftest import served
from tests.e2e.window import Window
from tests.manager import small_child
from tests.models import single_files, tiny_models

pytestmark = pytest.mark.browser


@pytest.fixture
def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Studio]:
    """One model as a folder with a picture, the same as a single file, its VAE alone, and a file that is none."""
    models = tmp_path / "models"
    folder = tiny_models.stable_diffusion(models / "starter/folder", vae="kl", tokens=77)
    Image.new("RGB", (200, 100), "teal").save(folder / "preview.png")
    single_files.sd1_checkpoint(models / "checkpoints/file.safetensors", folder)
    (models / "checkpoints/page.safetensors").write_bytes(b"<!DOCTYPE html><html>log in</html>")
    (models / "vae").mkdir()
    shutil.copy(folder / "vae/diffusion_pytorch_model.safetensors", models / "vae/clear.safetensors")
    single_files.clip_files(models / "tokenizers/clip")
    monkeypatch.setenv(small_child.SOURCE + "sd1", str(folder))
    monkeypatch.setitem(CONTEXT_FAMILY, 32, "sd1")
    settings = Settings(models=(models,), outputs=tmp_path / "out", device="cpu")
    with closing(Studio(settings, entry="tests.manager.small_worker:main")) as studio:
        yield studio


@pytest.mark.sweep
def test_a_model_is_loaded_given_another_vae_pinned_and_let_go_while_a_file_is_prepared(
    studio: Studio, visit: Callable[..., Window]
) -> None:
    with served(studio) as address:
        window = visit(address)
        page = window.page
        window.field("Model").select_option("file")
        expect(page.locator(".prepare-block").first).to_contain_text(
            "converted once, before its first picture (a few seconds)"
        )
        page.get_by_role("button", name="Prepare now").click()
        page.get_by_role("navigation").get_by_role("link", name="Models").click()
        file, folder = (
            page.locator(".browser-card").filter(has=page.get_by_role("heading", name=name, exact=True))
            for name in ("file", "folder")
        )
        expect(folder.locator("img")).to_have_js_property("naturalWidth", 200)
        expect(page.get_by_role("list", name="Files that cannot be used")).to_contain_text("web page")
        folder.get_by_role("button", name="Load folder").click()  # heard even while the worker starts
        expect(folder).to_contain_text("in memory")
        page.get_by_role("button", name="Details folder", exact=True).click()
        page.get_by_role("dialog").get_by_label("VAE", exact=True).select_option("clear")
        expect(page.get_by_role("dialog")).to_contain_text("Saved.")
        page.keyboard.press("Escape")
        expect(folder).to_contain_text("other VAE")
        folder.get_by_role("button", name="Unload folder").click()
        expect(folder).not_to_contain_text("in memory")
        folder.get_by_role("button", name="Pin folder").click()
        expect(folder).to_contain_text("in memory, pinned")
        folder.get_by_role("button", name="Unpin folder").click()
        expect(folder.get_by_role("button", name="Pin folder", exact=True)).to_be_visible()
        page.get_by_text("Memory log", exact=True).click()
        expect(page.locator(".browser-table tbody tr").filter(has_text="U-Net").first).to_contain_text("Loaded")
        page.get_by_role("button", name="Unload all").click()
        expect(page.locator(".browser-memory .browser-figures")).to_have_text(re.compile("^0 MiB of"))
        expect(page.locator(".browser-table tbody tr").first).to_contain_text("Unloaded")
        expect(file).to_contain_text("prepared")
        rows = page.locator(".browser-table tbody tr")
        expect(rows.filter(has_text="Converted")).to_contain_text("file")
        expect(rows.filter(has_text="U-Net").first).to_contain_text("folder")
        page.get_by_role("button", name="Hide page").click()
        expect(page.locator(".browser-count")).to_have_text("3 files, 1 hidden")
        page.get_by_label("Show", exact=True).select_option("Hidden (1)")
        page.get_by_role("button", name="Show again page").click()
        expect(page.locator(".browser-count")).to_have_text("4 files")
        page.get_by_role("navigation").get_by_role("link", name="Text to image").click()
        expect(page.locator(".prepare-body")).to_be_hidden()
        page.close()
