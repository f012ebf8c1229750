"""Sketches: as few steps as still show what is coming."""

import pytest

from studio.core.models import Capabilities, Defaults, ModelInfo
from studio.core.options import resolve
from studio.core.request import GenerationRequest
from studio.core.sketch import is_sketch, sketch_of

MODEL = ModelInfo(id="a/model", title="Model", kind="diffusers", family="sd1", defaults=Defaults(width=64, height=64))


def steps_of(model: ModelInfo = MODEL, **values: object) -> int:
    return sketch_of(resolve(GenerationRequest(model=model.id, **values), model, [model]), model).steps


def able(**capabilities: object) -> ModelInfo:
    return MODEL.model_copy(update={"capabilities": Capabilities(**capabilities)})


@pytest.mark.parametrize(("steps", "sketched"), [(40, 10), (20, 5), (12, 4), (3, 3), (1, 1)])
def test_a_sketch_takes_a_quarter_of_the_steps_and_four_at_least(steps: int, sketched: int) -> None:
    assert steps_of(steps=steps) == sketched


def test_a_sketch_takes_the_steps_that_the_model_needs() -> None:
    assert steps_of(able(fewest_steps=7), steps=20) == 7


def test_of_a_run_that_begins_midway_four_steps_run() -> None:
    task = {"kind": "image_to_image", "image": "ab" * 32, "strength": 0.2}
    assert steps_of(able(tasks=("text_to_image", "image_to_image")), steps=40, task=task) == 20
    assert steps_of(able(tasks=("text_to_image", "image_to_image")), steps=10, task=task) == 10  # two run in all


def test_a_sketch_is_one_image_with_previews_of_the_same_noise() -> None:
    asked = resolve(GenerationRequest(model=MODEL.id, count=4, batch_size=2, previews=False, seed=9), MODEL, [MODEL])
    sketch = sketch_of(asked, MODEL)
    assert (sketch.count, sketch.batch_size, sketch.previews) == (1, 1, True)
    assert (sketch.seed, sketch.sampler, sketch.guidance_scale) == (9, asked.sampler, asked.guidance_scale)


def test_a_sketch_is_known_by_its_id() -> None:
    assert is_sketch("sketch-0123") and not is_sketch("0123")
