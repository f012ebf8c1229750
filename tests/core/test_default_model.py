"""Which model one begins with where none is named."""

import pytest

from studio.core.errors import InvalidRequest
from studio.core.models import Capabilities, ModelInfo
from studio.core.options import find_model


def model(name: str, *, shipped: bool = False, hidden: bool = False, **able: tuple[str, ...]) -> ModelInfo:
    capabilities = Capabilities(**able)
    return ModelInfo(
        id=name, title=name, kind="diffusers", shipped=shipped, hidden=hidden, capabilities=capabilities, family="sd1"
    )


def test_the_default_is_shipped_then_the_one_with_most_tasks_then_with_most_parts() -> None:
    tasks = ("text_to_image", "inpaint")
    plain, inpaint = (
        model("a", shipped=True, tasks=tasks),
        model("b", shipped=True, tasks=tasks[1:], parts=("lora", "vae")),
    )
    able = model("c", shipped=True, tasks=tasks, parts=("lora",))
    mine = model("d", tasks=tasks, parts=("lora", "vae", "controlnet"))
    assert find_model([plain, inpaint, able, mine], "default") is able
    assert find_model([plain, inpaint, mine], "default") is plain
    assert find_model([mine], "default") is mine
    with pytest.raises(InvalidRequest, match="No usable model"):
        find_model([able.model_copy(update={"hidden": True})], "default")
