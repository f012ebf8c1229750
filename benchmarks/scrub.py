"""What a step of scrubbing costs in the page, view by view, in a real browser: the work of a frame, and the requests that it makes.

    python benchmarks/scrub.py [--steps 50] [--moves 120]

The page, its server and its guard are the studio's own, over a run of the shipped starter that is made first. At each move the cursor goes
to another step in a frame of the browser, and what is timed is all of that frame's work: script, style and layout (forced at its end), by
the clock, and, because other programs take the processor away, the mean of the page's own processor time (which counts painting too).
Target: less than 16.7 ms, a sixtieth of a second, and no request.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import common
from playwright.sync_api import CDPSession, Page, Request, sync_playwright

from tests.e2e.conftest import FLAGS, served

PROMPT = "a large red heart, striped yellow background"
VIEWS = ("reverse", "forward", "guidance", "attention", "latents", "memorised", "prompts")
# Moves the slider to places all over the run, one a frame, and times each move with the layout that it asks for.
MOVE = """async (moves) => {
  const slider = document.querySelector('.vis-time input[type=range]');
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  const [least, most] = [Number(slider.min), Number(slider.max)];
  const spent = [];
  for (let move = 0; move < moves; move += 1) {
    await frame();
    const began = performance.now();
    slider.value = String(least + Math.round(((move * 37) % 101) / 100 * (most - least)));
    slider.dispatchEvent(new Event('input', { bubbles: true }));
    document.body.getBoundingClientRect();
    spent.push(performance.now() - began);
  }
  return spent;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--moves", type=int, default=120)
    arguments = parser.parse_args()
    common.announce()
    import runpy

    from studio.core.request import GenerationRequest
    from studio.core.settings import Settings
    from studio.studio import Studio

    find = runpy.run_path(str(common.ROOT / "scripts" / "browser.py"))["find"]
    with tempfile.TemporaryDirectory() as folder, Studio(Settings(outputs=Path(folder), device="cpu")) as studio:
        request = GenerationRequest(model="starter/tinyworld-sd", prompt=PROMPT, steps=arguments.steps, seed=4)
        image = finished(studio, request)
        finished(studio, studio.attention_request(image, {}))
        finished(studio, studio.branch_request(image, arguments.steps // 2, {"prompt": "a small blue star, snow"}))
        studio.training_set("starter/tinyworld-sd")
        with served(studio) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find(), args=FLAGS)
            page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
            print(f"{arguments.steps} steps, {arguments.moves} moves a view; milliseconds of work a frame")
            for view in VIEWS:
                measured(page, f"{address}/#visualizer?image={image}&step=2&view={view}", view, arguments.moves)
            browser.close()


def finished(studio: object, request: object) -> str:
    job = studio.submit(request)  # type: ignore[attr-defined]
    last = list(studio.follow(job))[-1]  # type: ignore[attr-defined]
    if last.kind != "done":
        raise SystemExit(f"the run failed: {last}")
    return next(iter(studio.job(job).images), "")  # type: ignore[attr-defined]


def thread_time(session: CDPSession) -> float:
    """Seconds of processor time that the page's main thread has taken."""
    metrics = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["ThreadTime"])


def measured(page: Page, address: str, view: str, moves: int) -> None:
    page.goto("about:blank")
    page.goto(address)
    page.locator(".vis-body[data-frames=ready]").wait_for()
    page.wait_for_timeout(4000)  # what the view fetches once is here
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    page.evaluate(MOVE, moves)  # once over: frames are decoded, maps are computed
    own = page.context.new_cdp_session(page)
    own.send("Performance.enable")
    began = thread_time(own)
    spent = page.evaluate(MOVE, moves)
    cpu = 1000 * (thread_time(own) - began) / moves
    page.remove_listener("request", note)
    late = statistics.quantiles(spent, n=20)[-1]
    print(
        f"  {view:10} median {statistics.median(spent):5.1f}, 95th percentile {late:5.1f}, processor {cpu:5.1f}; {len(asked)} requests",
        flush=True,
    )


if __name__ == "__main__":
    main()
