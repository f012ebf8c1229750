"""A real browser that was lured to another site: whatever that site's page tries, the studio does none of it."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, sync_playwright

pytestmark = pytest.mark.browser

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

# Each attempt resolves to what the page got out of the studio, or to null.
ATTEMPTS = """
async studio => {
  const attempt = promise => promise.catch(() => null);
  const image = path => new Promise(done => {
    const picture = new Image();
    picture.onload = () => done(picture.width);
    picture.onerror = () => done(null);
    picture.src = studio + path;
  });
  const form = new FormData();
  form.append('files', new Blob(['<script>'], {type: 'text/html'}), 'x.html');
  return {
    read: await attempt(fetch(studio + 'health').then(answer => answer.text())),
    preflighted: await attempt(fetch(studio + 'jobs', {
      method: 'POST', headers: {'content-type': 'application/json'}, body: '{"prompt": "lured"}',
    }).then(answer => answer.status)),
    blind: await attempt(fetch(studio + 'jobs', {
      method: 'POST', mode: 'no-cors', body: '{"prompt": "lured"}',
    }).then(() => null)),
    upload: await attempt(fetch(studio + 'inputs', {method: 'POST', mode: 'no-cors', body: form}).then(() => null)),
    cancel: await attempt(fetch(studio + 'jobs/job0/cancel', {method: 'POST', mode: 'no-cors'}).then(() => null)),
    picture: await image('images/abc'),
    events: await new Promise(done => {
      const events = new EventSource(studio + 'jobs/job0/events');
      events.onopen = () => done('open');
      events.onerror = () => { events.close(); done(null); };
    }),
    socket: await new Promise(done => {
      const socket = new WebSocket(studio.replace('http', 'ws') + 'queue');
      socket.onopen = () => done('open');
      socket.onerror = () => done(null);
    }),
  };
}
"""


@pytest.fixture(scope="module")
def studio(root: Path) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.server.serve_script"], cwd=root, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield next(line for line in process.stdout if "Unnoise is at" in line).split()[3]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def other_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another port of this machine: to a browser the same site, to the studio a foreign one."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<h1>You have won</h1>")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def page(browser_path: str) -> Iterator[Page]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=browser_path, args=FLAGS)
        yield browser.new_page()
        browser.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_another_site_gets_nothing_and_starts_nothing(page: Page, studio: str, other_site: str, name: str) -> None:
    page.goto(other_site.replace("127.0.0.1", name))
    gained = page.evaluate(ATTEMPTS, studio)
    assert {what: got for what, got in gained.items() if got is not None} == {}
    assert httpx.get(f"{studio}jobs/job1").status_code == 404, "no job was queued"
    assert httpx.get(f"{studio}jobs/job0").json()["state"] == "running", "none was cancelled"


def test_another_site_cannot_frame_the_studio(page: Page, studio: str, other_site: str) -> None:
    page.goto(other_site)
    page.evaluate(
        "studio => document.body.append(Object.assign(document.createElement('iframe'), {src: studio}))", studio
    )
    frame = page.wait_for_selector("iframe").content_frame()
    assert frame is not None
    frame.wait_for_load_state()
    assert not frame.url.startswith(studio)


def test_a_link_to_the_studio_opens_it(page: Page, studio: str, other_site: str) -> None:
    page.goto(other_site)
    with page.expect_navigation(url=studio) as moved:
        page.evaluate("studio => { location.href = studio }", studio)
    assert moved.value.status != 403


def test_the_studios_own_page_may_do_all_of_it(page: Page, studio: str) -> None:
    page.goto(f"{studio}health")
    assert page.evaluate("fetch('/jobs/job0').then(answer => answer.status)") == 200
    made = page.evaluate("fetch('/jobs', {method: 'POST', body: '{}'}).then(answer => answer.status)")
    assert made == 202
