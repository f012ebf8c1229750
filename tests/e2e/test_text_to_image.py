"""From a prompt to a picture in a real browser: the run in view, its steps afterwards, and everything that may go wrong."""

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from studio.core.request import MAX_SEED
from tests.e2e.window import NAMED, Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser
Visit = Callable[..., Window]


COUNT_INTERVALS = """() => {
    const { setInterval } = window;
    window.ticks = 0;
    window.setInterval = (act, ms) => setInterval(() => { window.ticks += ms === 90; act(); }, ms);
}"""


def requests_during(window: Window, act: Callable[[], object]) -> list[str]:
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url))
    act()
    return [url for url in asked if "/frames/" in url or "/images/" in url]


def one_click_on_an_example_makes_a_picture(window: Window, studio: FakeStudio) -> None:
    window.wait("idle")
    window.page.get_by_role("button", name="a large red heart, striped yellow background").click()
    job = window.wait("done")
    assert studio.job(job).request.prompt == "a large red heart, striped yellow background"
    expect(window.page.locator("#workbench .picture img")).to_have_attribute(
        "src", f"{_origin(window)}/images/{studio.job(job).images[0]}"
    )
    expect(window.results).to_have_count(1)
    expect(window.page.locator(".readout")).to_contain_text("Step 12 of 12")


def test_every_control_is_named_as_it_is_labelled_and_the_menus_follow_the_model_and_the_sampler(
    visit: Visit, address: str, studio: FakeStudio
) -> None:
    window = visit(address, query="?__theme=light")  # the dark one: test_navigation.py
    assert window.page.evaluate("getComputedStyle(document.body).colorScheme") == "light"
    window.fold("Advanced").click()
    for name in NAMED:
        expect(window.field(name)).to_have_count(1)
        expect(window.field(name)).to_be_visible()
        expect(window.field(name)).to_have_accessible_name(name)
    expect(window.generate).to_have_count(1)
    expect(window.stop).to_have_count(1)
    offered = window.field("Spacing").locator("option")
    expect(offered.filter(has_text="Karras")).to_have_count(1)
    window.field("Sampler").select_option("ddim")
    expect(offered.filter(has_text="Karras")).to_have_count(0)
    window.field("Model").select_option("starter/crayon")
    expect(window.field("Sampler").locator("option")).to_have_count(4)
    expect(window.field("Width")).to_be_disabled()
    expect(window.field("Steps")).to_have_value("8")


def scrubbing_and_switching_ask_the_server_for_nothing(window: Window) -> None:
    window.wait_frames()
    last = window.picture()

    def scrub() -> None:
        window.step.focus()
        for _ in range(9):
            window.page.keyboard.press("ArrowLeft")
        expect(window.step).to_have_value("3")
        window.page.keyboard.press("Home")
        expect(window.page.locator(".readout")).to_contain_text("Step 1 of 12")
        first = window.picture()
        window.page.get_by_role("radio", name="Predicted x0").check(force=True)
        assert window.picture() not in (first, last)
        window.page.get_by_role("radio", name="x_t").check(force=True)
        window.step.focus()
        window.page.keyboard.press("End")
        expect(window.step).to_have_value("12")
        assert window.picture() == last

    assert requests_during(window, scrub) == []


def the_frames_of_a_long_run_come_in_two_answers_and_play_in_seconds(window: Window) -> None:
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url) if "/frames/" in request.url else None)
    job = window.make("a blue ring, white", Steps="144", Count="1")
    window.wait_frames()
    asked = [url for url in asked if job in url]
    films = [url for url in asked if ".film?" in url]
    assert len(films) == len(set(films)) == 2  # of each kind of picture
    assert len(asked) == len(set(asked)) < 144  # and singly those that were shown while it ran
    window.step.focus()
    seen = {window.picture()}
    for _ in range(8):
        window.page.keyboard.press("PageDown")
        seen.add(window.picture())
    assert len(seen) == 9  # each step has its own
    left = 144 - int(window.step.input_value())
    window.page.evaluate(COUNT_INTERVALS)
    window.page.get_by_role("button", name="Play").click()
    expect(window.step).to_have_value("144")
    assert 0 < window.page.evaluate("window.ticks") < left  # in strides


def a_seed_is_reused_and_drawn_anew_and_the_largest_goes_through_the_page_unharmed(
    window: Window, studio: FakeStudio
) -> None:
    window.page.get_by_role("button", name="Reuse seed").click()
    expect(window.field("Seed")).to_have_value(str(studio.job(window.job).request.seed))
    window.page.get_by_role("button", name="Random seed").click()
    expect(window.field("Seed")).to_have_value("-1")
    job = window.make("a red heart", Seed=str(MAX_SEED), Steps="2")
    assert studio.job(job).request.seed == MAX_SEED
    window.fill(Seed="1")
    window.page.get_by_role("button", name="Reuse seed").click()
    expect(window.field("Seed")).to_have_value(str(MAX_SEED))
    window.fill(Seed="1")
    window.latest_result(studio.job(job).images[0]).click()
    expect(window.field("Seed")).to_have_value(str(MAX_SEED))


def play_runs_through_the_steps_and_stops_at_the_last(window: Window) -> None:
    window.step.focus()
    window.page.keyboard.press("Space")
    expect(window.page.get_by_role("button", name="Pause")).to_be_visible()
    expect(window.page.get_by_role("button", name="Play")).to_be_visible()
    expect(window.step).to_have_value("12")


def stop_ends_the_run(window: Window, studio: FakeStudio) -> None:
    studio.finished.clear()
    job = window.begin("stay")
    window.stop.click()
    assert window.wait("cancelled") == job
    assert studio.job(job).state == "cancelled"


def a_stopped_run_is_kept_in_recent_and_gone_on_with(window: Window, studio: FakeStudio) -> None:
    window.make("a red heart")
    window.fill(Prompt="stay, a blue heart", Seed="7", Count="3")
    window.generate.click()
    window.wait("running")
    expect(window.canvas).to_have_attribute("data-step", "11")  # it stays before its last step
    window.stop.click()
    stopped = window.wait("cancelled")
    kept = window.page.get_by_role("button", name="stay, a blue heart, seed 7, stopped at step 11 of 12")
    expect(kept).to_have_attribute("aria-current", "true")
    window.results.last.click()  # look elsewhere, and come back
    window.wait("done")
    kept.click()
    assert window.wait("cancelled") == stopped
    expect(window.field("Count")).to_have_value("3")
    studio.finished.set()
    window.page.get_by_role("button", name="Go on").click()
    again = studio.job(window.wait("done", other_than=stopped)).request
    assert (again.seed, again.count) == (7, 3)
    expect(kept).to_have_count(0)


def a_reload_in_the_middle_finds_the_run_again(window: Window, studio: FakeStudio) -> None:
    studio.released.clear()
    job = window.begin("wait, a red heart")
    window.page.reload(wait_until="commit")
    assert window.wait("running") == job
    studio.released.set()
    assert window.wait("done") == job
    expect(window.step).to_have_value("5")


def a_second_tab_shows_the_same_run_and_a_later_one(
    window: Window, visit: Visit, address: str, studio: FakeStudio
) -> None:
    job = window.make("a red heart")
    second = visit(address, context=window.page.context)
    assert second.wait("done") == job
    later = window.make("a blue ring")
    assert second.wait("done", other_than=job) == later
    expect(second.results).to_have_count(2)
    second.page.close()


def a_page_has_one_connection_and_none_while_nobody_looks_at_it(window: Window, studio: FakeStudio) -> None:
    window.page.evaluate(
        """() => {
            window.sources = [];
            window.EventSource = class extends EventSource {
              constructor(url) { super(url); window.sources.push(this); }
            };
        }"""
    )
    window.fill(Prompt="wait, a red heart")
    window.generate.click()
    job = window.wait("running")
    opened = "window.sources.filter((each) => each.readyState !== EventSource.CLOSED).length"
    assert window.page.evaluate(opened) == 1
    _look(window, "hidden")
    assert window.page.evaluate(opened) == 0
    studio.released.set()
    _look(window, "visible")
    assert window.wait("done") == job
    expect(window.page.locator(".readout")).to_contain_text("Step 12 of 12")
    assert window.page.evaluate(opened) == 1


def stop_reaches_this_pages_run_from_wherever_it_is_looked_at(window: Window, studio: FakeStudio) -> None:
    """The canvas may show an earlier image, be scrolled away, or have been left for another tab."""
    for leave in (_pick_the_last_result, _visit_models_and_come_back, _scroll_away):
        window.fill(Prompt="stay")
        before = window.job
        window.generate.click()
        job = window.wait("running", other_than=before)
        leave(window)
        expect(window.stop).to_have_attribute("aria-disabled", "false")
        window.stop.click()
        expect(window.stop).to_have_attribute("aria-disabled", "true")
        assert studio.job(job).state == "cancelled"


def test_a_page_has_one_connection_and_its_stop_is_always_in_reach(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_page_has_one_connection_and_none_while_nobody_looks_at_it(window, studio)
    stop_reaches_this_pages_run_from_wherever_it_is_looked_at(window, studio)


def stop_leaves_another_pages_run_alone(window: Window, visit: Visit, address: str, studio: FakeStudio) -> None:
    other = visit(address)
    other.wait("done")
    job = window.begin("wait")
    other.wait("running")  # it had nothing to do, and so turned to the run
    other.results.first.click()
    other.wait("done")
    expect(other.page.locator(".bar-queue")).to_have_text("Running")
    expect(other.stop).to_have_attribute("aria-disabled", "true")
    studio.released.set()
    assert window.wait("done") == job


def test_other_pages_show_the_same_runs_and_stop_only_their_own(
    window: Window, visit: Visit, address: str, studio: FakeStudio
) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_second_tab_shows_the_same_run_and_a_later_one(window, visit, address, studio)
    stop_leaves_another_pages_run_alone(window, visit, address, studio)


def requests_made_while_one_runs_wait_and_follow(window: Window, studio: FakeStudio) -> None:
    first = window.begin("wait", Steps="5", Count="1")
    window.generate.click()
    expect(window.page.locator(".bar-queue")).to_contain_text("1 waiting")
    studio.released.set()
    assert window.wait("done", other_than=first) == studio.jobs(limit=1)[0].id


def test_what_stops_waits_or_is_reloaded_is_not_lost(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_stopped_run_is_kept_in_recent_and_gone_on_with(window, studio)
    stop_ends_the_run(window, studio)
    requests_made_while_one_runs_wait_and_follow(window, studio)
    a_reload_in_the_middle_finds_the_run_again(window, studio)


def live_renders_each_change_with_the_same_seed(window: Window, studio: FakeStudio) -> None:
    first = window.make("a red heart")
    window.page.get_by_text("Live", exact=True).click()
    window.fill(CFG="9")
    second = window.wait("done", other_than=first)
    window.fill(Prompt="a blue ring")
    third = window.wait("done", other_than=second)
    made = [studio.job(job).request for job in (first, second, third)]
    assert len({request.seed for request in made}) == 1
    assert [request.guidance_scale for request in made] == [4.0, 9.0, 9.0]
    window.page.get_by_text("Live", exact=True).click()
    expect(window.field("Seed")).to_have_value("-1")


def in_live_the_newest_request_takes_the_running_ones_place(window: Window, studio: FakeStudio) -> None:
    first = window.job
    window.page.get_by_text("Live", exact=True).click()
    window.fill(Prompt="stay")
    stays = window.wait("running", other_than=first)
    window.fill(Prompt="a blue ring")
    window.fill(Steps="6")
    window.wait("done", other_than=stays)
    assert studio.job(stays).state == "cancelled"
    assert "/images/" in window.picture()


def test_live_follows_every_change(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    live_renders_each_change_with_the_same_seed(window, studio)
    in_live_the_newest_request_takes_the_running_ones_place(window, studio)


BAD_VALUES = (
    ("Steps", "1.5", "Steps must be a whole number"),
    ("Steps", "", "Steps must be a whole number"),
    ("Width", "513", "multiple of 8"),
    ("Seed", str(2**70), "Seed must be a whole number"),
)


def a_bad_value_is_reported_at_its_field_and_a_good_one_works(window: Window, studio: FakeStudio) -> None:
    for name, text, said in BAD_VALUES:
        before = window.field(name).input_value()
        window.fill(Prompt="a red heart", **{name: text})
        window.generate.click()
        window.wait("failed")
        expect(window.field(name)).to_have_attribute("aria-invalid", "true")
        expect(window.page.locator(".field-error")).to_contain_text(said)
        expect(window.page.locator(".stage-alarm")).to_contain_text(said)
        window.fill(**{name: before})
        expect(window.page.locator(".field-error")).to_have_count(0)
    assert studio.jobs() == []
    window.generate.click()
    window.wait("done")


def a_failed_run_says_why_and_can_be_tried_again(window: Window, studio: FakeStudio) -> None:
    window.fill(Prompt="fail")
    window.generate.click()
    job = window.wait("failed")
    expect(window.page.locator(".stage-alarm")).to_contain_text("not finite")
    window.page.get_by_role("button", name="Try again").click()
    again = window.wait("failed", other_than=job)
    assert studio.job(again).request == studio.job(job).request


def a_prompt_is_text_wherever_it_is_shown(window: Window, studio: FakeStudio) -> None:
    prompt = '<img src=x onerror="window.hacked=1">{{value}}${value}'
    made = studio.job(window.make(prompt))
    result = window.latest_result(made.images[0])
    expect(result).to_have_accessible_name(f"{prompt}, seed {made.request.seed}")
    result.click()
    expect(window.page.locator(".notice-body")).not_to_be_empty()
    expect(window.field("Prompt")).to_have_value(prompt)
    assert window.page.evaluate("window.hacked") is None


def a_click_on_a_result_brings_all_its_settings_back(window: Window, studio: FakeStudio) -> None:
    settings = {
        "Prompt": "a red heart",
        "Negative_prompt": "rain",
        "Steps": "7",
        "CFG": "2.5",
        "Seed": "77",
        "Width": "64",
    }
    old = window.make(settings["Prompt"], **{name: text for name, text in settings.items() if name != "Prompt"})
    window.field("Sampler").select_option("euler")
    window.make("something else", Negative_prompt="", Steps="9", CFG="3", Seed="5", Width="")
    window.results.nth(1).click()
    assert window.wait("done", other_than=studio.jobs(limit=1)[0].id) == old
    for name, text in settings.items():
        expect(window.field(name.replace("_", " "))).to_have_value(text)
    expect(window.field("Sampler")).to_have_value("dpmpp_2m")
    expect(window.results.nth(1)).to_have_attribute("aria-current", "true")
    with window.page.expect_request(lambda request: "/events" in request.url):  # the queue is sent anew
        window.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(window.page.locator(".bar-queue")).to_have_text("Ready")  # the newest job must not push the chosen one aside
    expect(window.canvas).to_have_attribute("data-job", old)


def a_dropped_picture_brings_its_settings_back(window: Window, studio: FakeStudio) -> None:
    job = window.make("a pink heart", Steps="6", Seed=str(MAX_SEED - 5))
    window.fill(Prompt="", Steps="20", Seed="1")
    data = list(studio.image_file(studio.job(job).images[0]).read_bytes())
    window.page.evaluate(
        """(data) => {
            const carried = new DataTransfer();
            carried.items.add(new File([new Uint8Array(data)], "dropped.png", { type: "image/png" }));
            for (const type of ["dragover", "drop"])
              document.body.dispatchEvent(new DragEvent(type, { dataTransfer: carried, bubbles: true, cancelable: true }));
        }""",
        data,
    )
    expect(window.field("Prompt")).to_have_value("a pink heart")
    expect(window.field("Steps")).to_have_value("6")
    expect(window.field("Seed")).to_have_value(str(MAX_SEED - 5))
    expect(window.page.locator(".notice-body")).to_contain_text("Not known here: the sampler Restart")


def test_settings_come_back_from_a_result_and_from_a_dropped_picture(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_click_on_a_result_brings_all_its_settings_back(window, studio)
    a_dropped_picture_brings_its_settings_back(window, studio)


def a_file_that_is_no_picture_is_refused_in_words(window: Window, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_bytes(b"not a picture")
    window.page.locator(".from-picture input").set_input_files(tmp_path / "no.png")
    expect(window.page.locator(".notice-body")).to_contain_text("not a picture")


def test_what_is_refused_fails_or_is_hostile_is_said_and_harms_nothing(
    window: Window, studio: FakeStudio, tmp_path: Path
) -> None:
    """One page, on which each part begins where the one before it ended."""
    a_bad_value_is_reported_at_its_field_and_a_good_one_works(window, studio)
    a_failed_run_says_why_and_can_be_tried_again(window, studio)
    a_prompt_is_text_wherever_it_is_shown(window, studio)
    a_file_that_is_no_picture_is_refused_in_words(window, tmp_path)


def several_images_can_be_looked_at_one_by_one(window: Window, studio: FakeStudio) -> None:
    job = window.make("a red heart", Count="3", Seed="40")
    expect(window.page.locator(".grid-picture")).to_have_count(3)
    window.page.get_by_role("button", name="Image 3 of 3, seed 42").click()
    expect(window.page.get_by_role("button", name="Image 3 of 3, seed 42")).to_have_attribute("aria-pressed", "true")
    window.page.get_by_role("button", name="Image 1 of 3, seed 40").click()
    expect(window.page.locator("#workbench .picture img")).to_have_attribute(
        "src", f"{_origin(window)}/images/{studio.job(job).images[0]}"
    )


def test_a_picture_is_made_looked_at_step_by_step_and_made_again(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    one_click_on_an_example_makes_a_picture(window, studio)
    scrubbing_and_switching_ask_the_server_for_nothing(window)
    play_runs_through_the_steps_and_stops_at_the_last(window)
    a_seed_is_reused_and_drawn_anew_and_the_largest_goes_through_the_page_unharmed(window, studio)
    several_images_can_be_looked_at_one_by_one(window, studio)
    the_frames_of_a_long_run_come_in_two_answers_and_play_in_seconds(window)


def test_all_of_it_by_keyboard_alone(window: Window) -> None:
    press = window.page.keyboard.press
    window.field("Prompt").focus()
    window.page.keyboard.type("a green ring")
    for name in ("Earlier prompts", "Negative prompt", "Generate"):
        press("Tab")
        expect(window.page.locator(":focus")).to_have_accessible_name(name)
    press("Enter")
    job = window.wait("done")
    for _ in range(30):
        press("Tab")
        if window.page.evaluate("document.activeElement.getAttribute('aria-label')") == "Step":
            break
    press("Home")
    expect(window.page.locator(".readout")).to_contain_text("Step 1 of 12")
    window.field("Steps").focus()
    press("ArrowUp")
    expect(window.field("Steps")).to_have_value("13")
    press("Control+Enter")
    window.wait("done", other_than=job)


def _look(window: Window, state: str) -> None:
    window.page.evaluate(
        """(state) => {
            Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


def _pick_the_last_result(window: Window) -> None:
    running = window.job
    window.results.first.click()
    window.wait("done", other_than=running)


def _visit_models_and_come_back(window: Window) -> None:
    window.open_tab("Models")
    expect(window.page.locator(".browser-figures")).to_be_visible()
    window.open_tab("Text to image")


def _scroll_away(window: Window) -> None:
    window.page.set_viewport_size({"width": 390, "height": 500})
    window.results.last.scroll_into_view_if_needed()


def _origin(window: Window) -> str:
    return str(window.page.evaluate("location.origin"))
