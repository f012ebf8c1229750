"""The window over the real studio: its queue, its worker process, a real (if tiny and untrained) Stable Diffusion, and real training
runs."""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from playwright.sync_api import Locator, expect
from safetensors.numpy import load_file

from studio.core.race import best_within
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.studio import Studio
from tests.e2e.conftest import served
from tests.e2e.window import Window
from tests.models.tiny_models import stable_diffusion
from tests.training.test_runs import RECIPE, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """One worker's start for all of the tests."""
    folder = tmp_path_factory.mktemp("studio")
    stable_diffusion(folder / "models" / "tiny")
    recipes = folder / "presets" / "training"
    recipes.mkdir(parents=True)
    (recipes / "dots.yaml").write_text(yaml.safe_dump(RECIPE | {"save_every": 100_000}))
    settings = Settings(
        models=(folder / "models",),
        outputs=folder / "outputs",
        runs=folder / "runs",
        presets=folder / "presets",
        device="cpu",
        open_browser=False,
    )
    with closing(Studio(settings)) as studio:
        studio.runs._niceness = 0  # nothing else is at work meanwhile
        yield studio
        for run in studio.runs.all():
            if run.state == "running":
                studio.runs.pause(run.id)


@pytest.fixture(scope="module")
def address(studio: Studio) -> Iterator[str]:
    with served(studio) as address:
        yield address


def a_prompt_becomes_a_picture_whose_steps_play_and_whose_settings_come_back(window: Window, studio: Studio) -> None:
    job = window.make("a red heart", Steps="6", Seed="11")
    window.wait_frames()
    file = studio.image_file(studio.job(job).images[0])
    with Image.open(file) as picture:
        assert {"unnoise", "parameters"} <= set(picture.info)
    steps = {window.picture()}
    window.step.focus()
    for _ in range(5):
        window.page.keyboard.press("ArrowLeft")
        steps.add(window.picture())
    assert len(steps) == 6
    window.fill(Prompt="", Steps="9")
    window.page.locator(".from-picture input").set_input_files(file)
    window.page.wait_for_function("document.querySelector('.is-steps input').value === '6'")
    assert window.field("Prompt").input_value() == "a red heart"
    assert window.field("Seed").input_value() == "11"


def what_is_painted_with_the_mouse_changes_and_every_other_pixel_stays(window: Window, studio: Studio) -> None:
    before = np.random.default_rng(1).integers(0, 256, (96, 160, 3), dtype=np.uint8)
    data = io.BytesIO()
    Image.fromarray(before).save(data, "PNG")
    window.open_tab("Inpaint")
    window.fill(Width="", Height="")  # as large as the picture
    source = {"name": "a.png", "mimeType": "image/png", "buffer": data.getvalue()}
    window.field("Picture").set_input_files(source)  # type: ignore[arg-type]
    painter = window.page.get_by_test_id("painter")
    expect(painter.locator(".painter-surface")).to_be_focused()
    painter.get_by_role("button", name="Rectangle", exact=True).click()
    ground = painter.locator(".painter-ground").bounding_box()
    assert ground
    scale = ground["width"] / 160
    window.page.mouse.move(ground["x"] + 20.5 * scale, ground["y"] + 30.5 * scale)
    window.page.mouse.down()
    window.page.mouse.move(ground["x"] + 60.5 * scale, ground["y"] + 70.5 * scale, steps=3)
    window.page.mouse.up()
    job = window.make("a red heart", Steps="4", Seed="11")
    with Image.open(studio.image_file(studio.job(job).images[0])) as picture:
        after = np.asarray(picture.convert("RGB"))
    assert after.shape == before.shape
    grown = studio.job(job).request.task.mask_grow  # type: ignore[attr-defined]
    outside = np.ones(before.shape[:2], dtype=bool)
    outside[30 - grown : 70 + grown, 20 - grown : 60 + grown] = False
    assert np.array_equal(after[outside], before[outside])
    assert (after[30:70, 20:60] != before[30:70, 20:60]).mean() > 0.5


def samplers_race_from_one_noise_and_the_best_is_taken_over(window: Window, studio: Studio) -> None:
    page = window.page
    window.open_tab("Samplers")
    race = page.locator(".race-form")
    expect(race.locator(".race-lanes-form li")).to_have_count(4)  # the model's usual samplers
    for title, value in (("Prompt", "a red heart"), ("Evaluations", "0")):
        race.get_by_label(title, exact=True).fill(value)
    expect(race.get_by_role("alert")).to_have_text("Evaluations must be whole numbers from 1 to 250; got 0.")
    race.get_by_label("Evaluations", exact=True).fill("2, 3")
    race.get_by_text("More", exact=True).click()
    race.get_by_label("Reference steps", exact=True).fill("6")
    race.get_by_role("button", name="Add a sampler").click()
    race.get_by_label("Sampler", exact=True).last.select_option("euler_a")
    expect(race.get_by_role("status")).to_contain_text("6 for the reference")
    race.get_by_role("button", name="Start the race").click()
    view = page.locator(".race-view")
    expect(view.locator(".race-state")).to_have_text("Done")
    expect(view.locator(".race-verdict")).to_contain_text("Within 3 evaluations,")
    expect(view.locator(".race-table tbody tr")).to_have_count(4)  # the one that adds noise stands apart
    expect(view.locator(".race-apart ~ .race-lane")).to_have_count(1)
    pictures = view.locator("img")
    expect(pictures).to_have_count(11)  # two of each sampler, and the reference
    pictures.evaluate_all("all => Promise.all(all.map((each) => ((each.loading = 'eager'), each.decode())))")
    page.reload()
    expect(view.locator(".race-verdict")).to_contain_text("Within 3 evaluations,")
    [made] = studio.races.all()
    best = best_within(made.results, 3)[0]
    assert made.verdicts["3"].startswith(f"Within 3 evaluations, {made.lanes[best.lane].title} ")
    expect(page.locator(".workbench[data-restored]")).to_be_attached()
    view.get_by_role("button", name="Use it").click()
    expect(page.locator(".is-steps input[type=number]")).to_have_value(str(best.steps))
    expect(page.locator(".is-sampler select")).to_have_value(made.lanes[best.lane].sampler)


def test_pictures_are_made_played_raced_and_painted_on(
    studio: Studio, address: str, visit: Callable[..., Window]
) -> None:
    """One page, on which each part begins where the one before it ended."""
    window = visit(address)
    a_prompt_becomes_a_picture_whose_steps_play_and_whose_settings_come_back(window, studio)
    samplers_race_from_one_noise_and_the_best_is_taken_over(window, studio)
    what_is_painted_with_the_mouse_changes_and_every_other_pixel_stays(window, studio)


HEAT = ((8, 10, 20), (66, 24, 94), (150, 36, 96), (222, 84, 58), (250, 170, 60), (252, 246, 200))
PIXELS = "canvas => [canvas.width, ...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"


def drawn_as_heat(canvas: Locator, values: np.ndarray, most: float | None = None) -> None:
    """The canvas shows these values, the largest (or `most`) brightest."""
    level = np.round(values / (most or values.max()) * 255) / 255 * (len(HEAT) - 1)
    expected = np.stack([np.interp(level, range(len(HEAT)), channel) for channel in zip(*HEAT, strict=True)], axis=-1)
    width, *pixels = canvas.evaluate(PIXELS)
    shown = np.array(pixels).reshape(-1, width, 4)[..., :3]
    assert shown.shape == expected.shape and np.abs(shown - expected).max() <= 3


def test_every_view_of_the_visualizer_shows_what_the_trace_holds(
    studio: Studio, address: str, visit: Callable[..., Any]
) -> None:
    job = studio.submit(GenerationRequest(model="tiny", prompt="a red heart", steps=4, seed=5, guidance_scale=4.0))
    assert list(studio.follow(job))[-1].kind == "done"
    [image] = studio.job(job).images
    plain = load_file(studio.trace_file(image))
    page = visit(address, query=f"#visualizer?image={image}&step=2&view=guidance", wait=False)

    def view(name: str) -> None:
        page.locator(f".vis-views label:has([value={name}])").click()

    uncond, cond = plain["raw"].reshape(-1, 2, *plain["raw"].shape[1:])[1].astype(float)
    expect(page.get_by_test_id("vis-difference")).to_be_visible()
    drawn_as_heat(page.get_by_test_id("vis-difference"), np.sqrt(((cond - uncond) ** 2).mean(0)))

    view("latents")
    expect(page.get_by_test_id("vis-x0-0")).to_be_visible()
    said = page.locator("figure:has([data-testid=vis-x0-0]) .vis-note").inner_text()  # "mean 0.123, deviation 0.456"
    numbers = [float(each.split()[-1]) for each in said.split(", ")]
    x0 = plain["x0"][1, 0].astype(float)
    assert numbers == pytest.approx([x0.mean(), x0.std()], rel=0.05, abs=1e-3)

    view("attention")
    page.get_by_role("button", name="Record attention").click()
    expect(page.locator(".vis-word")).to_have_text(["start", "a", "red", "heart", "end", "padding"])
    assert len(studio.images()) == len({each.sha256 for each in studio.images()})  # no second picture
    traced = load_file(studio.trace_file(image))
    assert np.array_equal(traced["raw"], plain["raw"])
    page.get_by_role("button", name="heart", exact=True).first.click()
    page.get_by_label("Layer", exact=True).select_option("0")
    maps = traced["attention.0"][1].mean(0)  # (words, height, width)
    drawn_as_heat(page.get_by_test_id("vis-attention"), maps[3])
    stage = page.locator(".vis-stage")
    box = stage.bounding_box()
    stage.click(position={"x": 0.9 * box["width"], "y": 0.1 * box["height"]})
    here = maps[:, int(0.1 * maps.shape[1]), int(0.9 * maps.shape[2])]
    order = [["start", "a", "red", "heart", "end", "padding"][at] for at in np.argsort(-here)]
    expect(page.locator(".vis-ranked button").first).to_have_text(order[0])
    expect(page.get_by_test_id("vis-sum")).to_contain_text("add up to 1;")
    page.keyboard.press("ArrowLeft")  # the marked place moves, and the time does not
    expect(page.locator(".vis-body")).to_have_attribute("data-step", "2")

    view("branches")
    page.get_by_label("CFG of the branch").fill("9")
    page.get_by_role("button", name="Branch from step 2").click()
    expect(page.locator(".vis-tree-row")).to_have_count(2)
    expect(page.locator(".vis-tree-name").last).to_have_text("from step 2: CFG 9")

    view("prompts")
    expect(page.get_by_test_id("vis-parted")).to_be_visible()
    branch = load_file(studio.trace_file(studio.images(limit=1)[0].id))
    apart = np.sqrt(((branch["x0"].astype(float) - plain["x0"].astype(float)) ** 2).mean(1))
    assert apart[0].max() == 0 < apart[1].max()
    drawn_as_heat(page.get_by_test_id("vis-parted"), apart[1], apart.max())

    view("breaks")
    broken = page.locator("[data-fault=cancelled]")
    broken.get_by_role("button", name="Break it").click()
    expect(broken.locator(".vis-symptom")).to_contain_text("has a size of 0 at most")

    page.get_by_role("button", name="Tour", exact=True).click()
    tour = page.get_by_role("region", name="Tour")
    expect(tour).to_contain_text("Stop 1 of 10")
    left = np.sqrt(((plain["x0"].astype(float) - plain["x0"][-1].astype(float)) ** 2).mean((1, 2, 3)))
    step = int(np.argmax(left <= left[0] / 2))
    tour.locator(".vis-chip").nth(min(2, 3 * step // 4)).click()
    expect(tour.get_by_role("status")).to_contain_text(f"Right. At step {step + 1} of 4")

    for name, endings in (("Film as GIF", ("gif",)), (re.compile("Film as (MP4|WebM)"), ("mp4", "webm"))):
        page.get_by_role("button", name="Save", exact=True).click()
        with page.expect_download() as saved:
            page.get_by_role("menuitem", name=name).click()
        stem, _, ending = saved.value.suggested_filename.rpartition(".")
        assert stem == image and ending in endings and saved.value.path().stat().st_size > 500


def test_a_run_is_started_watched_paused_gone_on_with_and_generated_with(
    studio: Studio, address: str, visit: Callable[..., Any]
) -> None:
    page = visit(address, query="#train", wait=False)
    form = page.locator(".train-form")
    form.get_by_label("Steps", exact=True).fill("none")
    page.get_by_role("button", name="Start training").click()
    expect(form.get_by_role("alert").filter(has_text="Steps must be a number")).to_be_visible()
    form.get_by_label("Steps", exact=True).fill("4000")
    page.get_by_role("button", name="Start training").click()
    shown = page.locator(".train-run")
    expect(shown.locator(".train-sample")).to_have_attribute("alt", re.compile(r"Samples after \d+ steps"))
    expect(shown.locator(".train-plots canvas").first).to_be_visible()
    shown.get_by_role("button", name="Pause").click()
    expect(shown.locator(".train-state")).to_have_text("Paused")
    [run] = studio.runs.all()
    assert run.step > 0

    config = studio.settings.runs / run.id / "config.yaml"  # a run may be shortened: nobody waits for 4,000 steps here
    config.write_text(config.read_text().replace("steps: 4000", f"steps: {run.step + 6}"))
    page.reload()
    expect(shown.locator(".train-state")).to_have_text("Paused")
    expect(shown.locator(".train-sample")).to_be_visible()
    shown.get_by_role("button", name="Resume").click()
    expect(shown.locator(".train-state")).to_have_text("Done")
    assert studio.runs.get(run.id).step == run.step + 6
    with page.expect_download() as report:
        shown.get_by_role("link", name="Report").click()
    assert "<svg" in report.value.path().read_text()

    shown.get_by_role("button", name="Generate with it").click()
    window = Window(page)
    expect(window.field("Model")).to_have_value(f"trained/{run.id}")
    window.field("Steps").fill("2")
    window.generate.click()
    job = window.wait("done")
    assert studio.job(job).request.model == f"trained/{run.id}"
    until(lambda: len(studio.job(job).images) == 1)
