"""The routes of races over a studio without a model: refusals in a sentence. A race that runs is in `tests/e2e`."""

import pytest

from tests.server.test_routes import Call, call, studio  # noqa: F401


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/races", {}, 422, "A race needs a request"),
        ("POST", "/races", {"request": {}, "lanes": [{"spacing": "karras"}]}, 422, "Each lane must name a sampler"),
        ("POST", "/races/estimate", {"request": {"model": "none"}}, 422, "Unknown model 'none'"),
        ("POST", "/races", {"request": {"steps": 0}}, 422, "Steps must be"),
        ("GET", "/races/race-0123456789abcdef", None, 404, "There is no race"),
        ("GET", "/races/race-0123456789abcdef/0-4.png", None, 404, "There is no race"),
        ("POST", "/races/runs/delete", {}, 404, "There is no race"),
    ],
)
def test_what_cannot_be_done_is_refused(
    call: Call,  # noqa: F811
    method: str,
    path: str,
    body: object,
    status: int,
    words: str,
) -> None:
    answer = call(method, path, json=body) if body is not None else call(method, path)
    assert (answer.status_code, words in answer.json()["error"]) == (status, True)
    assert call("GET", "/races").json() == []
