"""The window over the real studio: its queue, its worker process, a real (if tiny and untrained) Stable Diffusion."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from PIL import Image

from studio.core.settings import Settings
from studio.studio import Studio
from tests.e2e.conftest import served
from tests.e2e.window import Window
from tests.models.tiny_models import stable_diffusion

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    stable_diffusion(folder / "models" / "tiny")
    settings = Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu", open_browser=False)
    with closing(Studio(settings)) as studio:
        yield studio


def test_a_prompt_becomes_a_picture_whose_steps_play_and_whose_settings_come_back(
    studio: Studio, visit: Callable[..., Window]
) -> None:
    with served(studio) as address:
        window = visit(address)
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
        window.page.close()
