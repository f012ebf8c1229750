"""A trace over HTTP, whole and in ranges; a branch is queued from its step and what changes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from studio.core.branching import attention_of, branch_of
from studio.core.request import GenerationRequest
from studio.core.traces import NoTrace
from studio.server.app import build_app
from studio.server.policy import Policy
from tests.core.test_branch import PIXELS, recipe


class Traced:
    """What the routes ask of a Studio that has one picture."""

    def __init__(self, file: Path):
        self.file, self.queued = file, list[GenerationRequest]()

    def trace_file(self, image_id: str) -> Path:
        if image_id != "one":
            raise NoTrace
        return self.file

    def trace_info(self, image_id: str) -> dict[str, Any]:
        return {"steps": 9, "bytes": self.trace_file(image_id).stat().st_size}

    def branch_request(self, image_id: str, step: int, changes: Mapping[str, Any]) -> GenerationRequest:
        return branch_of(recipe(), step, changes)

    def attention_request(self, image_id: str, values: Mapping[str, Any]) -> GenerationRequest:
        return attention_of(recipe(), values)

    def submit(self, request: GenerationRequest) -> str:
        self.queued.append(request)
        return "job1"


def test_traces_and_branches(tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    file.write_bytes(bytes(range(200)))
    studio: Any = Traced(file)
    app = build_app(studio, lambda app: app, Policy())

    def call(method: str, path: str, **options: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(app, client=("127.0.0.1", 50_000))
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost:7860") as session:
                return await session.request(method, path, **options)

        return asyncio.run(run())

    assert call("GET", "/traces/one").content == file.read_bytes()
    part = call("GET", "/traces/one", headers={"range": "bytes=8-15"})
    assert part.status_code == 206 and part.content == file.read_bytes()[8:16]
    assert call("GET", "/traces/one/info").json() == {"steps": 9, "bytes": 200}
    missing = call("GET", "/traces/two")
    assert missing.status_code == 404 and missing.json()["error"].startswith("No trace of this picture")

    queued = call("POST", "/images/one/branch", json={"step": 4, "prompt": "a fox", "guidance_scale": 7})
    assert (queued.status_code, queued.json()) == (202, {"id": "job1"})
    (request,) = studio.queued
    assert (request.prompt, request.guidance_scale, request.parent) == ("a fox", 7.0, PIXELS)
    for body, field in (({}, "step"), ({"step": True}, "step"), ({"step": 4, "guidance_scale": 99}, "guidance_scale")):
        refused = call("POST", "/images/one/branch", json=body)
        assert refused.status_code == 422 and refused.json()["field"] == field and refused.json()["error"]
    assert call("POST", "/images/one/branch", json={"step": 1, "image_id": "x"}).status_code == 422

    queued = call("POST", "/images/one/attention", json={"heads": True})
    assert (queued.status_code, queued.json()) == (202, {"id": "job1"})
    assert [part.repeats for part in studio.queued[-1].parts] == [PIXELS]
    refused = call("POST", "/images/one/attention", json={"depth": 3})
    assert refused.status_code == 422 and "It has: side, heads." in refused.json()["error"]
