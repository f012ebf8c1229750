"""The HTTP routes through the assembled application, guard included."""

import asyncio
import io
import json
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from studio.core.events import Cancelled, Done, Loading, Norms, Queued, Step
from studio.core.request import GenerationRequest
from studio.jobs.database import Database
from studio.jobs.log import EventLog
from studio.server import routes
from studio.server.app import build_app
from studio.server.policy import Policy
from studio.server.stream import event_stream, page_stream
from tests.server.memory_studio import MemoryStudio

Call = Callable[..., httpx.Response]


@pytest.fixture
def studio(tmp_path: Path) -> MemoryStudio:
    return MemoryStudio(tmp_path)


@pytest.fixture
def call(studio: MemoryStudio) -> Call:
    app = build_app(studio, lambda app: app, Policy())

    def call(method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7860") as client:
                return await client.request(method, path, **options)

        return asyncio.run(run())

    return call


def png(width: int = 8, height: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height)).save(out, "PNG")
    return out.getvalue()


def name_of(text: str) -> str:
    """The name of one server-sent event."""
    return next(line[7:] for line in text.splitlines() if line.startswith("event: "))


def data_of(text: str) -> dict[str, Any]:
    return json.loads(next(line[6:] for line in text.splitlines() if line.startswith("data: ")))


def test_health_answers(call: Call) -> None:
    assert call("GET", "/health").json()["status"] == "ok"


def test_a_request_is_queued_seen_and_cancelled(call: Call, studio: MemoryStudio) -> None:
    queued = call("POST", "/jobs", json={"prompt": "a red heart", "steps": 7})
    assert queued.status_code == 202
    job = queued.json()["id"]
    assert studio.requests[job].prompt == "a red heart"
    assert call("GET", f"/jobs/{job}").json()["request"]["steps"] == 7
    assert call("POST", f"/jobs/{job}/cancel").json() == {"cancelled": True}
    assert studio.cancelled == [job]
    assert call("POST", f"/jobs/{job}/resume").json() == {"id": f"{job}-resumed"}
    assert call("POST", f"/jobs/{job}/discard").json() == {"id": job}


def test_all_jobs_are_cancelled_or_only_those_that_wait(call: Call, studio: MemoryStudio) -> None:
    assert call("POST", "/jobs/cancel").json() == {"cancelled": 2}
    assert call("POST", "/jobs/cancel?running=true").json() == {"cancelled": 3}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"steps": "NaN"}, "steps"),
        ({"width": 513}, "width"),
        ({"seed": 2**70}, "seed"),
        ({"prompt": "\x00"}, "prompt"),
        ({"prompt": "x" * 1_000_000}, "prompt"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_bad_setting_is_one_sentence_at_its_field(call: Call, studio: MemoryStudio, values: dict, field: str) -> None:
    answer = call("POST", "/jobs", json=values)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
    assert answer.json()["error"].endswith(".")
    assert studio.requests == {}
    assert call("POST", "/jobs", json={"prompt": "good"}).status_code == 202


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b'"x"', b"\xff\xfe", b'{"steps": Infinity}', b"[" * 100_000])
def test_a_body_that_is_no_request_is_refused(call: Call, body: bytes) -> None:
    answer = call("POST", "/jobs", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")


@pytest.mark.parametrize("path", ["/jobs/nobody", "/jobs/nobody/events", "/images/nobody", "/thumbnails/nobody"])
def test_what_is_not_there_is_404_in_a_sentence(call: Call, path: str) -> None:
    answer = call("GET", path)
    assert answer.status_code == 404
    assert answer.json()["error"]


@pytest.mark.parametrize("path", ["/jobs/a.b", "/images/..%2f..%2fetc%2fpasswd", "/images/%00", "/frames/a/0/-1.jpg"])
def test_an_id_of_another_shape_never_reaches_the_studio(call: Call, path: str) -> None:
    assert call("GET", path).status_code == 404


def test_events_are_numbered_and_a_reader_goes_on_where_it_was(call: Call, studio: MemoryStudio) -> None:
    job = call("POST", "/jobs", json={}).json()["id"]
    studio.happen(job, Loading(model="tiny", what="reading"))
    studio.happen(job, Step(index=0, total=1, timestep=9.0, seconds=0.1, elapsed=0.1, norms=(Norms(x_t=1.0),)))
    studio.happen(job, Done(seconds=1.0))

    def stream(**options: Any) -> list[tuple[str, str, dict]]:
        answer = call("GET", f"/jobs/{job}/events", **options)
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = [dict(line.split(": ", 1) for line in b.splitlines()) for b in answer.text.strip().split("\n\n")]
        return [(b["id"], b["event"], json.loads(b["data"])) for b in blocks]

    everything = stream()
    assert [kind for _, kind, _ in everything] == ["queued", "loading", "step", "done"]
    assert [number for number, _, _ in everything] == ["1", "2", "3", "4"]
    assert stream(headers={"Last-Event-ID": "2"}) == everything[2:]
    assert stream(params={"after": 3}) == everything[3:]
    assert stream(headers={"Last-Event-ID": "nonsense"}) == everything


def test_events_arrive_as_they_happen(studio: MemoryStudio) -> None:
    """Each event is sent when it happens, not when the job ends."""

    async def run() -> list[str]:
        job = studio.submit(GenerationRequest())
        stream = event_stream(studio, job, 0)
        seen = [await anext(stream)]
        studio.happen(job, Loading(model="tiny"))
        seen.append(await anext(stream))
        studio.happen(job, Cancelled())
        seen += [text async for text in stream]
        return seen

    assert [text.split("\n")[1] for text in asyncio.run(run())] == [
        "event: queued",
        "event: loading",
        "event: cancelled",
    ]


def test_a_page_follows_memory_queue_and_all_its_jobs_over_one_connection(studio: MemoryStudio) -> None:
    async def run() -> tuple[list[str], list[str], str]:
        one, two = studio.submit(GenerationRequest()), studio.submit(GenerationRequest())
        studio.happen(one, Loading(model="tiny"))
        async with aclosing(page_stream(studio, {one: 1, two: 0})) as stream:
            first = [await anext(stream) for _ in range(4)]
            studio.happen(one, Cancelled())
            second = [await anext(stream)]
            studio.change(used=5)
            third = [await anext(stream) for _ in range(2)]
            studio.happen(two, Cancelled())
        return first, second, next(text for text in third if "memory" in text)

    first, second, changed = asyncio.run(run())
    assert {name_of(text) for text in first} == {"memory", "queue", "job"}
    jobs = [data_of(text) for text in [*first, *second] if name_of(text) == "job"]
    read = {(emitted["job"], emitted["number"], emitted["event"]["kind"]) for emitted in jobs}
    assert read == {("job0", 2, "loading"), ("job1", 1, "queued"), ("job0", 3, "cancelled")}
    assert second[0].split("\n")[0] == "id: job0:3,job1:1"
    assert '"newest":"job1"' in next(text for text in first if name_of(text) == "queue")
    assert '"used":5' in changed


def test_streams_whose_readers_have_gone_leave_no_thread_waiting(studio: MemoryStudio, tmp_path: Path) -> None:
    """Their job waits, and nothing happens to it: nothing would wake them."""
    log = EventLog(Database(tmp_path / "studio.db"))
    log.adopt("waiting", [Queued()])
    studio.follow = lambda job, after=0: log.follow(job, after)  # type: ignore[method-assign]

    async def run() -> None:
        streams = [event_stream(studio, "waiting", 0) for _ in range(10)]
        streams += [page_stream(studio, {"waiting": 1}) for _ in range(10)]
        for stream in streams:
            await anext(stream)
        assert log.followed() == ["waiting"]
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]

    before = set(threading.enumerate())
    asyncio.run(run())
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=30)
        assert not thread.is_alive(), thread.name
    assert log.followed() == []
    log.close()


def test_a_page_that_reconnects_goes_on_where_each_of_its_jobs_was(call: Call, studio: MemoryStudio) -> None:
    """The query says where the page began, the browser's header how far it came; a job that it no longer names is not followed."""
    asked: list[dict[str, int]] = []

    async def stream(_: object, jobs: dict[str, int]) -> AsyncIterator[str]:
        asked.append(jobs)
        yield "\n"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routes, "page_stream", stream)
        for header in ("a:7,b:2,gone:4", "nonsense", "a:1:2"):
            call("GET", "/events?job=a:3&job=b:0", headers={"Last-Event-ID": header})
    assert asked == [{"a": 7, "b": 2}, {"a": 3, "b": 0}, {"a": 3, "b": 0}]


def test_a_job_that_is_not_there_ends_its_part_alone(studio: MemoryStudio) -> None:
    async def run() -> list[str]:
        async with aclosing(page_stream(studio, {"nobody": 0})) as stream:
            return [await anext(stream) for _ in range(3)]

    lines = asyncio.run(run())
    assert {name_of(text) for text in lines} == {"memory", "queue", "problem"}
    assert data_of(next(text for text in lines if name_of(text) == "problem"))["job"] == "nobody"


@pytest.mark.parametrize("query", ["job=../../etc", "job=a", "job=a:-1", "job=a:b", "&".join(["job=a:0"] * 17)])
def test_the_pages_stream_takes_only_jobs_and_positions_and_not_too_many(call: Call, query: str) -> None:
    assert call("GET", f"/events?{query}").status_code == 422


def test_a_frame_is_kept_by_the_browser_and_a_missing_one_is_not(call: Call, studio: MemoryStudio) -> None:
    studio.frames["job0", 1, 2, "xt"] = b"\xff\xd8frame"
    found = call("GET", "/frames/job0/1/2.jpg?kind=xt")
    assert (found.content, found.headers["content-type"]) == (b"\xff\xd8frame", "image/jpeg")
    assert "immutable" in found.headers["cache-control"]
    assert call("GET", "/frames/nobody/1/3.jpg?kind=xt").status_code == 404
    job = studio.submit(GenerationRequest())
    coming = call("GET", f"/frames/{job}/1/3.jpg?kind=xt")  # the job has not ended
    assert (coming.status_code, coming.content, coming.headers["cache-control"]) == (204, b"", "no-store")
    studio.cancel(job)
    missing = call("GET", f"/frames/{job}/1/3.jpg?kind=xt")
    assert (missing.status_code, missing.headers["cache-control"]) == (404, "no-store")
    assert call("GET", "/frames/job0/1/2.jpg?kind=latent").status_code == 422


def unpacked(film: bytes) -> list[tuple[int, bytes]]:
    frames = []
    while film:
        step, length = struct.unpack(">II", film[:8])
        frames.append((step, film[8 : 8 + length]))
        film = film[8 + length :]
    return frames


def test_the_frames_of_an_image_come_in_one_answer_that_is_kept_once_the_job_has_ended(
    call: Call, studio: MemoryStudio
) -> None:
    job = studio.submit(GenerationRequest())
    many = {step: bytes([step]) * 40_000 for step in range(9)}
    for step, data in many.items():
        studio.frames[job, 1, step, "xt"] = data
    studio.frames[job, 1, 0, "x0"] = studio.frames[job, 0, 0, "xt"] = b"another"
    running = call("GET", f"/frames/{job}/1.film?kind=xt")
    assert dict(unpacked(running.content)) == many
    assert (running.headers["cache-control"], running.headers["content-type"]) == (
        "no-store",
        "application/octet-stream",
    )
    studio.cancel(job)
    ended = call("GET", f"/frames/{job}/1.film?kind=xt")
    assert "immutable" in ended.headers["cache-control"] and ended.headers["x-content-type-options"] == "nosniff"
    assert call("GET", f"/frames/{job}/5.film").content == b""
    assert call("GET", "/frames/nobody/1.film").status_code == 404
    assert call("GET", f"/frames/{job}/1.film?kind=latent").status_code == 422
    assert call("GET", f"/frames/{job}/-1.film").status_code == 404


def test_an_image_is_served_as_it_was_saved(call: Call, tmp_path: Path) -> None:
    (tmp_path / "abc.png").write_bytes(png())
    answer = call("GET", "/images/abc")
    assert (answer.content, answer.headers["content-type"]) == (png(), "image/png")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert answer.headers["content-disposition"].startswith("inline")
    assert call("GET", "/images/abc?download=true").headers["content-disposition"].startswith("attachment")
    assert call("GET", "/thumbnails/abc").headers["content-type"] == "image/jpeg"


@pytest.mark.parametrize("suffix", [".html", ".svg", ".db", ""])
def test_only_pictures_are_served(call: Call, tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"abc{suffix or '.'}").write_text("<script>alert(1)</script>")
    assert call("GET", "/images/abc").status_code == 404


def test_an_input_is_addressed_by_its_hash(call: Call) -> None:
    first, second = call("POST", "/inputs", content=png()), call("POST", "/inputs", content=png())
    assert first.status_code == 201
    assert first.json() == second.json()
    shown = call("GET", f"/inputs/{first.json()['id']}")
    assert (shown.content, shown.headers["content-type"]) == (png(), "image/png")
    assert "immutable" in shown.headers["cache-control"] and "sandbox" in shown.headers["content-security-policy"]


def test_a_control_image_is_made_of_a_stored_picture(call: Call) -> None:
    digest = call("POST", "/inputs", content=png()).json()["id"]
    made = call("POST", f"/inputs/{digest}/annotate", json={"annotator": "canny", "width": 512, "height": 512})
    assert made.status_code == 201 and len(made.json()["id"]) == 64
    for wrong in ({"annotator": "guess"}, {"width": 1}, {"low": "nan"}, {"resize": "fold"}, {"colour": 1}):
        refused = call("POST", f"/inputs/{digest}/annotate", json=wrong)
        assert refused.status_code == 422 and refused.json()["error"].endswith("."), wrong
    assert call("POST", f"/inputs/{'0' * 64}/annotate", json={}).status_code == 404
    assert call("GET", "/annotators").json()[0]["problem"] == "put ControlNetHED.pth there"


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 63, "F" * 64, "..%2f" + "0" * 59, "0" * 63 + "g"])
def test_an_input_that_was_never_stored_is_404(call: Call, digest: str) -> None:
    assert call("GET", f"/inputs/{digest}").status_code == 404


@pytest.mark.parametrize("body", [b"", b"not a picture", b"<svg xmlns='http://www.w3.org/2000/svg'/>", png()[:20]])
def test_an_input_that_is_no_picture_is_refused(call: Call, body: bytes) -> None:
    answer = call("POST", "/inputs", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"].endswith(".")


def test_the_settings_of_a_picture_come_back_with_every_digit_of_the_seed(call: Call) -> None:
    answer = call("POST", "/settings", content=b"a picture")
    assert (answer.status_code, answer.text) == (200, '{"prompt":"a picture","seed":18446744073709551615,"notes":[]}')
    refused = call("POST", "/settings", content=b"")
    assert (refused.status_code, refused.json()["error"]) == (422, "This picture carries no settings.")


def test_a_body_over_the_limit_of_its_route_is_refused_by_the_guard(call: Call) -> None:
    assert call("POST", "/jobs", content=b"[" + b"0," * 2**20).status_code == 413


def test_no_documentation_pages_that_load_from_elsewhere(call: Call) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert call("GET", path).status_code == 404
