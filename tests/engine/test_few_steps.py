"""Every pair that a model is offered runs from one step on, through a real pipeline under the tap, or is refused in a sentence."""

import pytest

from studio import compat

compat.prepare()

from studio.core.errors import InvalidRequest  # noqa: E402
from studio.core.options import legal_samplers, legal_spacings  # noqa: E402
from studio.core.samplers import SOLVERS  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402
from tests.engine.conftest import Studio  # noqa: E402
from tests.models import tiny_models  # noqa: E402

MODELS = ("sd1", "sd3", "ddpm", "dit", "lcm", "consistency", "distilled")
STEPS = (1, 2, 3, 4)
# One that takes steps before the first, one for distilled models, one of flow matching.
REPRESENTATIVES = {"lcm", "flow_euler"}
SAMPLERS = [
    pytest.param(name, marks=() if name in REPRESENTATIVES else pytest.mark.sweep)
    for name, row in SOLVERS.items()
    if row.scheduler
]


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("few")
    for kind in MODELS[:-1]:
        tiny_models.BUILDERS[kind](folder / "models" / kind)
    distilled = tiny_models.stable_diffusion(folder / "models" / "distilled")
    (distilled / "unnoise.json").write_text('{"distilled": true}')
    return Studio(Manager(Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu")))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_to_four_steps_run_or_are_refused_in_a_sentence(few: Studio, sampler: str) -> None:
    offered = [name for name in MODELS if sampler in legal_samplers(few.info(name))]
    assert offered, f"no model here is offered {sampler}"
    for name in offered:
        # A named spacing is the same levels for every model, so one model will do for those.
        for spacing in legal_spacings(few.info(name), sampler) if name == offered[0] else ["default"]:
            for steps in STEPS if spacing == "default" else STEPS[:2]:
                seen: list[int] = []
                values = {"sampler": sampler, "spacing": spacing, "steps": steps, "prompt": "3"}
                try:
                    [made] = few.run(
                        name, callbacks={"on_step": lambda step, seen=seen: seen.append(step.index)}, **values
                    )
                except InvalidRequest as refused:
                    assert sampler == "pndm" and steps < 4, f"{name}: {refused}"
                    assert refused.field == "steps" and "at least 4 steps" in str(refused)
                else:
                    assert seen == list(range(len(seen) if SOLVERS.get(sampler).adaptive else steps))
                    assert made.image.size == (made.recipe.request.width, made.recipe.request.height)


def test_a_run_of_too_few_steps_keeps_the_advice_in_its_recipe(few: Studio) -> None:
    [made] = few.run("sd1", sampler="heun", spacing="karras", steps=2)
    assert made.recipe.notes == ("Below 6 steps, Heun with Karras spacing leaves noise or grey in the picture.",)
