"""Makes the README's pictures from a real run: starts the studio with the shipped models and drives it in a browser.

    python scripts/pictures.py            # writes docs/*.png and docs/steps.gif

Needs the development requirements and an installed Chromium or Chrome.
"""

import io
import re
import runpy
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
PROMPT = "a large mushroom, meadow"
MORE = (
    "a yellow star on the left and a blue ring on the right, night",
    "a red boat, sea",
    "a large red heart, striped yellow background",
)
PATIENCE_MS = 180_000


def main() -> None:
    DOCS.mkdir(exist_ok=True)
    find = runpy.run_path(str(ROOT / "scripts" / "browser.py"))["find"]
    with tempfile.TemporaryDirectory() as outputs:
        studio = subprocess.Popen(
            [sys.executable, "app.py", "--no-browser", "--port", "0", "--outputs", outputs],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            address = address_of(studio)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
                shoot(browser, address)
                browser.close()
        finally:
            studio.terminate()
            studio.wait(30)


def address_of(studio: subprocess.Popen[str]) -> str:
    """The address that the studio prints when its page answers."""
    assert studio.stdout is not None
    for line in studio.stdout:
        if found := re.search(r"http://\S+", line):
            return found[0].rstrip("/.")
    raise SystemExit("The studio ended before it printed its address.")


def shoot(browser: Browser, address: str) -> None:
    page = visit(browser, address, 1440, 900, "light")
    page.screenshot(path=DOCS / "first-look.png")
    for prompt in MORE:
        make(page, prompt)
    job = make(page, PROMPT)
    page.screenshot(path=DOCS / "studio-light.png")
    first, *rest = frames(address, job)
    first.save(
        DOCS / "steps.gif",
        save_all=True,
        append_images=rest,
        duration=[160] * 19 + [1600],
        loop=0,
        optimize=True,
    )
    page.close()
    models = visit(browser, address, 1440, 900, "light")
    models.get_by_role("link", name="Models", exact=True).click()
    models.get_by_role("button", name="Details Tiny World", exact=True).click(timeout=PATIENCE_MS)
    models.wait_for_timeout(2500)
    models.screenshot(path=DOCS / "models.png")
    models.close()
    for name, width, height, theme in (("studio-dark", 1440, 900, "dark"), ("studio-phone", 390, 844, "dark")):
        other = visit(browser, address, width, height, theme)
        expect(other.get_by_test_id("canvas")).to_have_attribute("data-phase", "done", timeout=PATIENCE_MS)
        other.wait_for_timeout(1500)  # pictures fade in
        other.screenshot(path=DOCS / f"{name}.png")
        other.close()


def visit(browser: Browser, address: str, width: int, height: int, theme: str) -> Page:
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)  # type: ignore[arg-type]
    page.goto(f"{address}/?__theme={theme}")
    expect(page.get_by_role("button", name="Generate", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    page.wait_for_timeout(1500)
    return page


def make(page: Page, prompt: str) -> str:
    """Generate and wait; returns the job's id."""
    canvas = page.get_by_test_id("canvas")
    before = canvas.get_attribute("data-job") or ""
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_role("button", name="Generate", exact=True).click()
    expect(canvas).not_to_have_attribute("data-job", before, timeout=PATIENCE_MS)
    expect(canvas).to_have_attribute("data-phase", "done", timeout=PATIENCE_MS)
    expect(canvas).to_have_attribute("data-frames", "ready", timeout=PATIENCE_MS)
    page.evaluate("document.querySelector('.settings').scrollTop = 0")  # the seed lies further down
    page.mouse.move(0, 0)
    page.wait_for_timeout(1000)  # pictures fade in
    return canvas.get_attribute("data-job") or ""


def frames(address: str, job: str) -> list[Image.Image]:
    """Each step as one picture: the noisy state on the left, the predicted clean image on the right."""
    out = []
    for step in range(20):
        pair = [picture(f"{address}/frames/{job}/0/{step}.jpg?kind={kind}") for kind in ("xt", "x0")]
        sheet = Image.new("RGB", (2 * 256 + 8, 256), "white")
        for k, half in enumerate(pair):
            sheet.paste(half.resize((256, 256), Image.Resampling.BICUBIC), (k * 264, 0))
        out.append(sheet)
    return out


def picture(url: str) -> Image.Image:
    with urllib.request.urlopen(url) as answer:
        return Image.open(io.BytesIO(answer.read())).convert("RGB")


if __name__ == "__main__":
    main()
