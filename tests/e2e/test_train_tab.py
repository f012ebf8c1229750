"""The Train tab over real runs: one is started, watched, paused, found again after a reload, gone on with, and its model makes a picture."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect

from studio.core.settings import Settings
from studio.studio import Studio
from tests.e2e.conftest import served
from tests.e2e.window import Window
from tests.models.tiny_models import stable_diffusion
from tests.training.test_runs import RECIPE, until

pytestmark = pytest.mark.browser


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[Studio]:
    stable_diffusion(tmp_path / "models" / "tiny")
    recipes = tmp_path / "presets" / "training"
    recipes.mkdir(parents=True)
    (recipes / "dots.yaml").write_text(yaml.safe_dump(RECIPE | {"save_every": 100_000}))
    settings = Settings(
        models=(tmp_path / "models",),
        outputs=tmp_path / "outputs",
        runs=tmp_path / "runs",
        presets=tmp_path / "presets",
        device="cpu",
        open_browser=False,
    )
    with closing(Studio(settings)) as studio:
        yield studio
        for run in studio.runs.all():
            if run.state == "running":
                studio.runs.pause(run.id)


def test_a_run_is_started_watched_paused_gone_on_with_and_generated_with(
    studio: Studio, visit: Callable[..., Page], tmp_path: Path
) -> None:
    with served(studio) as address:
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

        config = tmp_path / "runs" / run.id / "config.yaml"  # a run may be shortened: nobody waits for 4,000 steps here
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
        page.close()
