"""How long a stroke over a large picture takes until it is on the screen, in the mask, and stored in the studio.

    python benchmarks/painter.py [--side 4096] [--strokes 20]

In a real browser without a graphics card. Of each move of the pointer: the time in which it is drawn, and until the next frame
has been shown. Target: on the screen within a frame, in the mask within 0.3 s of the end of a stroke.
"""

import argparse
import io
import runpy
import statistics
import tempfile
from pathlib import Path

import common
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from tests.e2e.conftest import FLAGS, PATIENCE_MS, served
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

STROKES = """async (strokes) => {
  const surface = document.querySelector('.painter-surface');
  surface.setPointerCapture = () => {}; // no pointer is there to capture
  const { left, top, width, height } = document.querySelector('.painter-ground').getBoundingClientRect();
  const at = (x, y) => ({ clientX: left + x * width, clientY: top + y * height });
  const send = (type, x, y) => surface.dispatchEvent(new PointerEvent(type, { pointerId: 9, bubbles: true, cancelable: true, ...at(x, y) }));
  const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const field = () => document.querySelector('.is-task-mask .picture-zone img').src;
  const found = { drawn: [], shown: [], ended: [], stored: [] };
  for (let stroke = 0; stroke < strokes; stroke += 1) {
    const y = 0.05 + (0.9 * stroke) / strokes;
    send('pointerdown', 0.05, y);
    for (let step = 1; step <= 30; step += 1) {
      const begin = performance.now();
      send('pointermove', 0.05 + 0.03 * step, y + 0.01 * Math.sin(step));
      found.drawn.push(performance.now() - begin);
      await frame();
      found.shown.push(performance.now() - begin);
    }
    const before = field();
    const begin = performance.now();
    send('pointerup', 0.95, y);
    found.ended.push(performance.now() - begin);
    while (field() === before) await new Promise((done) => setTimeout(done, 5));
    found.stored.push(performance.now() - begin);
  }
  return found;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--strokes", type=int, default=20)
    arguments = parser.parse_args()
    common.announce()
    expect.set_options(timeout=PATIENCE_MS)
    find = runpy.run_path(str(common.ROOT / "scripts" / "browser.py"))["find"]
    picture = io.BytesIO()
    Image.linear_gradient("L").resize((arguments.side, arguments.side)).convert("RGB").save(picture, "PNG")
    studio = FakeStudio(Path(tempfile.mkdtemp()))
    with served(studio) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address + "/#inpaint")
        window = Window(page)
        file = {"name": "large.png", "mimeType": "image/png", "buffer": picture.getvalue()}
        window.field("Picture").set_input_files(file)  # type: ignore[arg-type]
        expect(page.locator(".painter-surface")).to_be_focused(timeout=PATIENCE_MS)
        found = page.evaluate(STROKES, arguments.strokes)
        browser.close()
    studio.close()
    titles = {
        "drawn": "a move is drawn on the screen's layer and in the mask",
        "shown": "until the frame after it was shown",
        "ended": "the end of a stroke is handled",
        "stored": "until the mask is stored and in the form",
    }
    for name, title in titles.items():
        values = sorted(found[name])
        worst = values[int(len(values) * 0.95)]
        print(f"{title}: {statistics.median(values):.1f} ms in the median, {worst:.1f} ms for 95 of 100")


if __name__ == "__main__":
    main()
