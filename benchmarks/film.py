"""How long after the end of a long run every step of it can be scrubbed to, in a real browser, and with how many requests.

    python benchmarks/film.py [--steps 500] [--rounds 3]

The page, its server and its guard are the studio's own; a pencil stands for the worker, so that nothing but the frames' way
to the page is measured. Target: a film of 500 steps within 1.5 s.
"""

import argparse
import runpy
import statistics
import tempfile
from pathlib import Path

import common
from playwright.sync_api import Page, expect, sync_playwright

from tests.e2e.conftest import FLAGS, PATIENCE_MS, served
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

# Notes the clock when the run is done, and when the last frame is there.
WATCH = """() => {
  const canvas = document.querySelector('[data-testid=canvas]');
  window.marks = {};
  new MutationObserver(() => {
    if (canvas.dataset.phase !== 'done') return;
    marks.done ??= performance.now();
    if (canvas.dataset.frames === 'ready') marks.ready ??= performance.now();
    else delete marks.ready;
  }).observe(canvas, { attributes: true });
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    common.announce()
    expect.set_options(timeout=PATIENCE_MS)
    find = runpy.run_path(str(common.ROOT / "scripts" / "browser.py"))["find"]
    studio = FakeStudio(Path(tempfile.mkdtemp()), step_seconds=0.002)
    with served(studio) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
        late = []
        for number in range(arguments.rounds):
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            seconds, requests = measured(page, address, arguments.steps)
            late.append(seconds)
            print(f"round {number + 1}: every frame {seconds:.2f} s after the end, {requests} requests")
            page.context.close()
        browser.close()
    studio.close()
    print(f"{arguments.steps} steps: {statistics.median(late):.2f} s in the median")


def measured(page: Page, address: str, steps: int) -> tuple[float, int]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/frames/" in request.url else None)
    page.goto(address + "/")
    window = Window(page)
    page.evaluate(WATCH)
    window.make("a blue ring, white", Steps=str(steps))
    window.wait_frames()
    marks = page.evaluate("marks")
    return (marks["ready"] - marks["done"]) / 1000, len(asked)


if __name__ == "__main__":
    main()
