"""The page as a person sees it: its controls by their names, its canvas by what it says of itself."""

from playwright.sync_api import Locator, Page, expect

NAMED = (
    "Prompt",
    "Negative prompt",
    "Live",
    "Model",
    "Sampler",
    "Spacing",
    "Steps",
    "CFG",
    "Guidance rescale",
    "Width",
    "Height",
    "Seed",
    "Count",
    "Batch size",
)

OF_TASKS = ("Strength",)  # tasks have one each: the one in view is meant


class Window:
    """`page` with the few words that all tests use. Nothing here sleeps: everything waits for what it names."""

    def __init__(self, page: Page):
        self.page = page
        # Late answers must not change what a test sets. Found by style alone: names are costly to look up in a page that is being drawn.
        page.wait_for_selector(".workbench[data-restored]", state="attached")
        expect(page.locator(".bar-queue")).not_to_be_empty()
        expect(self.stop).to_have_attribute("aria-disabled", "true")

    @property
    def canvas(self) -> Locator:
        return self.page.get_by_test_id("canvas")

    @property
    def generate(self) -> Locator:
        return self.page.get_by_role("button", name="Generate", exact=True)

    @property
    def stop(self) -> Locator:
        return self.page.get_by_role("button", name="Stop", exact=True)

    @property
    def step(self) -> Locator:
        return self.page.get_by_role("slider", name="Step", exact=True)

    @property
    def results(self) -> Locator:
        return self.page.get_by_role("list", name="Recent results").get_by_role("button")

    @property
    def job(self) -> str:
        return self.canvas.get_attribute("data-job") or ""

    def open_tab(self, title: str) -> None:
        """By its name, or a group's; where the window is narrow, its group's first."""
        navigation = self.page.get_by_role("navigation")
        tab = self.page.locator(f".tab-link[data-title='{title}']")
        if tab.count() and not tab.is_visible():
            navigation.locator(".group", has=tab).locator(".group-link").click()
        navigation.get_by_role("link", name=title, exact=True).click()

    def field(self, name: str) -> Locator:
        found = self.page.locator("#workbench").get_by_label(name, exact=True)  # another tab may have one of its name
        return found.filter(visible=True) if name in OF_TASKS else found

    def fold(self, title: str) -> Locator:
        """What opens and closes a group of controls; while it is closed its name also says what is set in it."""
        return self.page.locator(".fold-button").filter(has_text=title)

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.field(name.replace("_", " ")).fill(value)

    def wait(self, phase: str, *, other_than: str | None = None) -> str:
        """Until the canvas is in this phase, of another job if one is named; the job it is in then."""
        other = f':not([data-job="{other_than}"])' if other_than is not None else ""
        self.page.wait_for_selector(f'[data-testid=canvas][data-phase="{phase}"]{other}')
        return self.job

    def wait_frames(self) -> None:
        expect(self.canvas).to_have_attribute("data-frames", "ready")

    def make(self, prompt: str, **values: str) -> str:
        """Generate, and wait until it is done."""
        return self.begin(prompt, "done", **values)

    def begin(self, prompt: str, phase: str = "running", **values: str) -> str:
        """Generate, and wait until the new job is in this phase."""
        before = self.job
        self.fill(Prompt=prompt, **values)
        self.generate.click()
        return self.wait(phase, other_than=before)

    def latest_result(self, image: str) -> Locator:
        """The newest of the recent results, once that is this image."""
        expect(self.results.first).to_have_attribute("data-id", image)
        return self.results.first

    def picture(self) -> str:
        """What is shown: the address of the picture on the canvas."""
        return self.page.locator("#workbench .picture img").get_attribute("src") or ""
