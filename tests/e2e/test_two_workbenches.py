"""A page of two workbenches: each has its own job, form and memory, and none of them touches the other."""

from collections.abc import Callable, Iterator

import gradio as gr
import pytest
from playwright.sync_api import Locator, Page, expect

from studio.ui.bar import Bar
from studio.ui.tabs.text_to_image import MODE
from studio.ui.workbench import Workbench
from tests.e2e.conftest import served
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
NAMES = ("left", "right")


@pytest.fixture(scope="module")
def module_studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def address(module_studio: FakeStudio) -> Iterator[str]:
    def build(studio: FakeStudio) -> gr.Blocks:
        with gr.Blocks(analytics_enabled=False, fill_width=True) as page:
            Bar([])
            for name in NAMES:
                Workbench(studio, name, {"text_to_image": MODE}, follows_newest=name == "left").wire(page)
        return page

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studio.ui.mount.build", build)
        with served(module_studio) as address:
            yield address


@pytest.fixture
def studio(module_studio: FakeStudio) -> FakeStudio:
    module_studio.forget()
    return module_studio


@pytest.fixture
def page(studio: FakeStudio, address: str, visit: Callable[..., Page]) -> Page:
    page = visit(address, wait=False)
    for name in NAMES:
        expect(canvas(page, name)).to_be_attached()
        expect(page.locator(f"#{name}").get_by_label("Steps", exact=True)).to_be_visible()
    return page


def canvas(page: Page, name: str) -> Locator:
    return page.locator(f"#{name}").get_by_test_id("canvas")


def make(page: Page, name: str, prompt: str, phase: str = "done") -> str:
    """Generate in one workbench, and wait until its canvas is in this phase; its job."""
    bench = page.locator(f"#{name}")
    bench.get_by_label("Prompt", exact=True).fill(prompt)
    before = canvas(page, name).get_attribute("data-job")
    bench.get_by_role("button", name="Generate").click()
    page.wait_for_selector(f'#{name} [data-testid=canvas][data-phase="{phase}"]:not([data-job="{before}"])')
    return canvas(page, name).get_attribute("data-job") or ""


def two_jobs_are_shown_at_once_and_each_is_stopped_by_its_own_button(page: Page, studio: FakeStudio) -> None:
    left = make(page, "left", "wait, a red heart", "running")
    right = make(page, "right", "a blue ring", "queued")
    assert left != right
    expect(canvas(page, "left")).to_have_attribute("data-job", left)
    page.locator("#right").get_by_role("button", name="Stop").click()
    expect(canvas(page, "right")).to_have_attribute("data-phase", "cancelled")
    right = make(page, "right", "stay, a blue ring", "queued")
    studio.released.set()
    expect(canvas(page, "right")).to_have_attribute("data-phase", "running")
    expect(canvas(page, "left")).to_have_attribute("data-phase", "done")  # both were followed over one connection
    expect(canvas(page, "left")).to_have_attribute("data-job", left)
    studio.finished.set()
    expect(canvas(page, "right")).to_have_attribute("data-phase", "done")
    assert [studio.job(job).request.prompt for job in (left, right)] == ["wait, a red heart", "stay, a blue ring"]
    for name, job in (("left", left), ("right", right)):
        image = studio.job(job).images[0]
        expect(page.locator(f"#{name} .picture img")).to_have_attribute("src", f"{page.url}images/{image}")


def an_idle_workbench_leaves_the_others_jobs_alone(page: Page, studio: FakeStudio) -> None:
    right = make(page, "right", "a blue ring")
    expect(canvas(page, "left")).to_have_attribute("data-phase", "idle")
    left = make(page, "left", "a red heart")
    expect(canvas(page, "right")).to_have_attribute("data-job", right)
    assert left != right
    check_ids_and_labels(page)


def check_ids_and_labels(page: Page) -> None:
    """Every id is used once, and a label names a control of its own workbench."""
    ids = page.evaluate(
        "[...document.querySelectorAll('[id]')].filter((element) => element.id).map((element) => element.id)"
    )
    assert len(ids) == len(set(ids))
    strays = page.evaluate(
        """[...document.querySelectorAll('label[for]')]
             .filter((label) => label.control?.closest('.workbench') !== label.closest('.workbench'))
             .map((label) => label.textContent)"""
    )
    assert strays == []
    for name in NAMES:
        page.locator(f"#{name} label", has_text="Steps").first.click()
        assert page.evaluate("document.activeElement.closest('.workbench').id") == name
    kinds = page.evaluate("[...document.querySelectorAll('[type=radio]:checked')].length")
    assert kinds == 2  # one choice of frames a workbench, not one for the page


def what_is_remembered_and_what_a_key_does_belong_to_one_workbench(page: Page, studio: FakeStudio) -> None:
    left, right = (canvas(page, name).get_attribute("data-job") or "" for name in NAMES)
    before = len(studio.jobs())
    page.reload(wait_until="commit")
    expect(canvas(page, "left")).to_have_attribute("data-job", left)
    expect(canvas(page, "right")).to_have_attribute("data-job", right)
    page.locator("#right").get_by_label("Prompt", exact=True).fill("a green ring")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(f'#right [data-testid=canvas][data-phase=done]:not([data-job="{right}"])')
    expect(canvas(page, "left")).to_have_attribute("data-job", left)
    assert len(studio.jobs()) == before + 1


def test_two_workbenches_on_one_page_have_nothing_in_common(page: Page, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    an_idle_workbench_leaves_the_others_jobs_alone(page, studio)
    two_jobs_are_shown_at_once_and_each_is_stopped_by_its_own_button(page, studio)
    what_is_remembered_and_what_a_key_does_belong_to_one_workbench(page, studio)
