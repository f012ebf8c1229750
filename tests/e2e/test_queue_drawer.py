"""The queue's drawer: every job, where it is in the queue, and cancelling one, those that wait, or all."""

import pytest
from playwright.sync_api import Locator, expect

from studio.core.request import GenerationRequest
from tests.e2e.window import Window
from tests.ui.fake_studio import FakeStudio

pytestmark = pytest.mark.browser


def submit(studio: FakeStudio, prompt: str) -> str:
    """As another program does."""
    return studio.submit(GenerationRequest(model="starter/pencil", prompt=prompt, seed=1))


def generate(window: Window, *prompts: str) -> None:
    """Submit these in the window, each once the one before was accepted."""
    for prompt in prompts:
        window.fill(Prompt=prompt)
        with window.page.expect_response(lambda response: "/queue/join" in response.url):
            window.generate.click()


def open_queue(window: Window) -> Locator:
    window.page.locator(".bar-queue").click()
    drawer = window.page.get_by_role("dialog", name="Queue")
    expect(drawer).to_be_visible()
    return drawer


def rows(window: Window) -> Locator:
    return window.page.get_by_role("list", name="Jobs").get_by_role("listitem")


def the_drawer_lists_every_job_with_its_place(window: Window, studio: FakeStudio) -> None:
    generate(window, "wait, a red heart")
    window.wait("running")
    for prompt in ("a blue ring", "a green ring"):
        submit(studio, prompt)
    drawer = open_queue(window)
    expect(rows(window)).to_have_count(3)
    expect(rows(window).nth(0)).to_contain_text("wait, a red heart")
    expect(rows(window).nth(0)).to_contain_text("Pencil")
    expect(rows(window).nth(0)).not_to_contain_text("elsewhere")
    expect(rows(window).nth(1)).to_contain_text("1 ahead · from elsewhere")
    expect(rows(window).nth(2)).to_contain_text("2 ahead")
    studio.released.set()
    expect(drawer).to_contain_text("Nothing runs, and nothing waits.")
    studio.released.clear()
    window.page.keyboard.press("Escape")


def a_running_job_shows_its_steps_and_what_waits_when_it_will_be_ready(window: Window, studio: FakeStudio) -> None:
    window.begin("slow, a red heart", Steps="900")
    submit(studio, "a blue ring")
    open_queue(window)
    expect(rows(window).nth(0)).to_contain_text(" of 900 · about")
    expect(rows(window).nth(1)).to_contain_text("ready in about")
    rows(window).nth(0).get_by_role("button", name="Cancel slow, a red heart").click()
    expect(rows(window)).to_have_count(0)
    window.page.keyboard.press("Escape")
    window.fill(Steps="12")


def one_job_is_cancelled_then_those_that_wait_then_all(window: Window, studio: FakeStudio) -> None:
    running = submit(studio, "wait")
    first, second = submit(studio, "a blue ring"), submit(studio, "a green ring")
    drawer = open_queue(window)
    expect(rows(window)).to_have_count(3)
    rows(window).nth(1).get_by_role("button").focus()
    window.page.keyboard.press("Enter")
    expect(rows(window)).to_have_count(2)
    expect(rows(window).nth(1).get_by_role("button")).to_be_focused()  # the next one's
    states = [studio.job(job).state for job in (running, first, second)]
    assert states == ["running", "cancelled", "queued"]
    waiting, everything = (drawer.get_by_role("button", name=name) for name in ("Cancel waiting", "Cancel all"))
    waiting.click()
    expect(rows(window)).to_have_count(1)
    expect(waiting).to_be_disabled()
    assert studio.job(running).state == "running"
    everything.click()
    studio.released.set()
    expect(rows(window)).to_have_count(0)
    assert studio.job(running).state == "cancelled"
    expect(everything).to_be_disabled()
    studio.released.clear()
    window.page.keyboard.press("Escape")


def after_a_reload_the_time_goes_on_waiting_jobs_can_be_cancelled_and_stop_still_ends_the_own_run(
    window: Window, studio: FakeStudio
) -> None:
    generate(window, "wait, a red heart")
    job = window.wait("running")
    generate(window, "a blue ring")
    open_queue(window)
    expect(rows(window)).to_have_count(2)
    expect(rows(window).filter(has_text="from elsewhere")).to_have_count(0)
    started = studio.job(job).started or 0.0
    studio._set(job, started=started - 3600)  # it has run for an hour
    window.page.reload(wait_until="commit")
    open_queue(window)
    expect(rows(window)).to_have_count(2)
    expect(rows(window).filter(has_text="from elsewhere")).to_have_count(0)
    rows(window).nth(1).get_by_role("button").click()
    expect(rows(window)).to_have_count(1)
    window.page.keyboard.press("Escape")
    assert window.wait("running") == job
    expect(window.page.locator(".readout")).to_contain_text("60 min")
    window.stop.click()
    studio.released.set()
    window.wait("cancelled")
    assert [view.state for view in studio.jobs()] == ["cancelled", "cancelled"]


def stop_says_so_where_the_run_in_view_is_anothers(window: Window, studio: FakeStudio) -> None:
    window.make("a red heart")
    job = submit(studio, "wait, a blue ring")
    assert window.wait("running") == job  # it had nothing to do, and so turned to the run
    window.stop.click()
    expect(window.page.get_by_role("dialog", name="Queue")).to_contain_text("started elsewhere")
    assert studio.job(job).state == "running"
    expect(rows(window).get_by_role("button")).to_be_focused()
    window.page.keyboard.press("Enter")
    studio.released.set()
    window.wait("cancelled")


def on_a_phone_the_queue_is_a_sheet_from_below(phone: Window, studio: FakeStudio) -> None:
    studio.released.clear()
    phone.page.set_viewport_size({"width": 390, "height": 780})
    submit(studio, "wait, " + "a very long prompt " * 30)
    drawer = open_queue(phone)
    expect(rows(phone)).to_have_count(1)
    sheet = drawer.bounding_box()
    assert sheet and (sheet["x"], sheet["width"], sheet["y"] + sheet["height"]) == (0, 390, 780)
    expect(rows(phone).get_by_role("button")).to_be_in_viewport(ratio=0.99)
    drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_be_hidden()
    studio.released.set()


def test_the_drawer_lists_cancels_and_counts(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    the_drawer_lists_every_job_with_its_place(window, studio)
    a_running_job_shows_its_steps_and_what_waits_when_it_will_be_ready(window, studio)
    one_job_is_cancelled_then_those_that_wait_then_all(window, studio)
    stop_says_so_where_the_run_in_view_is_anothers(window, studio)


def the_canvas_and_the_drawer_give_one_place_in_the_queue(window: Window, studio: FakeStudio) -> None:
    studio.released.clear()
    submit(studio, "wait")
    others = [submit(studio, "a blue ring") for _ in range(2)]
    generate(window, "a red heart")
    expect(window.page.locator(".bar-queue")).to_have_text("Running, 3 waiting")
    own = studio.jobs(limit=1)[0].id
    window.page.evaluate("(job) => localStorage.setItem('unnoise-workbench-job', job)", own)
    window.page.reload(wait_until="commit")
    expect(window.page.locator(".stage-caption p")).to_have_text("Waiting: 3 ahead")
    for job in others:
        studio.cancel(job)
    expect(window.page.locator(".stage-caption p")).to_have_text("Waiting: 1 ahead")
    open_queue(window)
    expect(rows(window).nth(1)).to_contain_text("1 ahead")
    studio.released.set()
    assert window.wait("done") == own


def test_after_a_reload_jobs_have_their_places_and_their_times(window: Window, studio: FakeStudio) -> None:
    """One page, on which each part begins where the one before it ended."""
    after_a_reload_the_time_goes_on_waiting_jobs_can_be_cancelled_and_stop_still_ends_the_own_run(window, studio)
    the_canvas_and_the_drawer_give_one_place_in_the_queue(window, studio)
