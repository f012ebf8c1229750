"""The page as it is built and served, without a browser."""

from collections.abc import Iterator

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from studio.ui import assets
from studio.ui.mount import mount
from studio.ui.shell import build
from tests.ui.fake_studio import FakeStudio


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeStudio]:
    studio = FakeStudio(tmp_path_factory.mktemp("studio"))
    yield studio
    studio.close()


@pytest.fixture(scope="module")
def client(studio: FakeStudio) -> Iterator[TestClient]:
    with TestClient(mount(FastAPI(), studio)) as client:
        yield client


@pytest.fixture(scope="module")
def page(client: TestClient) -> str:
    return client.get("/").text


def test_the_pages_own_files_come_with_the_page_and_may_be_kept_for_good(client: TestClient, page: str) -> None:
    assert assets.address(assets.ALL_STYLES) in page
    assert client.get(f"/{assets.address(assets.ALL_STYLES)}").text == assets.all_styles()
    for path in {path.suffix: path for path in assets.STATIC.iterdir()}.values():  # one of each kind
        answer = client.get(f"/{assets.address(path.name)}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]


def test_an_old_version_of_a_file_is_not_served_as_the_new_one(client: TestClient) -> None:
    assert client.get("/ui/000000000000/canvas.js").status_code == 404


def test_what_a_studio_does_not_need_of_gradio_is_off(studio: FakeStudio, client: TestClient) -> None:
    config = client.get("/config").json()
    assert not config.get("footer_links")
    assert config.get("run_history") is False
    assert client.get("/monitoring").status_code != 200
    assert client.post("/gradio_api/run/submit", json={"data": []}).status_code in (404, 422)


def test_no_handler_can_be_called_as_an_api(studio: FakeStudio) -> None:
    page = build(studio)
    assert [fn.api_visibility for fn in page.fns.values() if fn.api_visibility != "private"] == []


def test_no_script_or_style_names_another_host() -> None:
    for path in assets.STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        for namespace in ("http://www.w3.org/2000/svg", "http://www.w3.org/1998/Math/MathML"):
            text = text.replace(namespace, "")
        assert "http://" not in text and "https://" not in text, path.name


def test_text_is_never_put_into_the_page_as_markup() -> None:
    """`innerHTML` is set in the two places that draw constant icons, and nowhere else."""
    users = [path.name for path in assets.STATIC.glob("*.js") if "innerHTML" in path.read_text(encoding="utf-8")]
    assert sorted(users) == ["bar.js", "icons.js"]
    for path in assets.STATIC.glob("*.js"):
        assert "insertAdjacentHTML" not in path.read_text(encoding="utf-8")


def test_every_control_of_the_page_can_be_rebuilt_from_what_it_was_built_with(studio: FakeStudio) -> None:
    """Gradio does so for each update that is not a plain value; a constructor that refuses would break the page."""
    page = build(studio)
    ours = [block for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert len(ours) > 10
    for block in ours:
        kwargs = {name: value for name, value in block.constructor_args.items() if name != "value"}
        assert type(block)(**kwargs, render=False).label == block.label
