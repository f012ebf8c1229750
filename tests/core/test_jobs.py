"""A job as others see it: what is left of a stopped one."""

import pytest

from studio.core.errors import InvalidRequest
from studio.core.jobs import JobView, State, remaining
from studio.core.request import GenerationRequest

REQUEST = GenerationRequest(prompt="a heart", seed=40, count=4, batch_size=3)


def job(state: State, images: int) -> JobView:
    return JobView(id="j", request=REQUEST, state=state, created=0.0, images=tuple(map(str, range(images))))


def test_the_images_that_are_missing_keep_their_seeds() -> None:
    left = remaining(job("cancelled", 3))
    assert (left.seed, left.count, left.batch_size, left.prompt) == (43, 1, 1, "a heart")
    assert remaining(job("interrupted", 0)) == REQUEST


@pytest.mark.parametrize(("state", "images"), [("running", 1), ("queued", 0), ("done", 4), ("cancelled", 4)])
def test_what_has_nothing_missing_is_refused(state: State, images: int) -> None:
    with pytest.raises(InvalidRequest):
        remaining(job(state, images))
