"""What a run would refuse is known beforehand: from the pipeline's own call and the scheduler's own configuration."""

import inspect
import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.errors import InvalidRequest
from studio.core.models import Capabilities, ModelInfo
from studio.core.options import legal_samplers, options_for, resolve
from studio.core.request import GenerationRequest
from studio.core.samplers import SOLVERS
from studio.core.settings import Settings
from studio.manager.disk.describe import describe_path
from studio.manager.disk.folders import check_request
from studio.manager.families import FAMILIES, Family, capabilities_of, generic_family
from studio.manager.families.dit import labels_of
from studio.studio import Studio
from tests.models import tiny_models

compat.prepare()

MODEL = ModelInfo(
    id="m", title="M", kind="diffusers", family="pixart", capabilities=Capabilities(tasks=("text_to_image",))
)
WAYS = [
    (name, variant, named)
    for name, family in FAMILIES.items()
    if family.tasks
    for variant in ("", *family.variant_tasks)
    for named in (None, *sorted(family.alternatives))
]


def accepts(family: Family, variant: str, named: str | None, scheduler: dict[str, Any]) -> Capabilities:
    return capabilities_of(family, variant, named, "epsilon", scheduler, solvers=None, distilled=False)


def able_to(**values: Any) -> ModelInfo:
    return MODEL.model_copy(update={"capabilities": MODEL.capabilities.model_copy(update=values)})


def parameters(pipeline: str) -> Any:
    import diffusers

    return inspect.signature(getattr(diffusers, pipeline).__call__).parameters


def test_whether_a_family_takes_guidance_rescale_is_what_its_pipeline_s_call_says() -> None:
    for name, variant, named in WAYS:
        family = FAMILIES.get(name)
        pipeline = next(iter(family.calls(variant, named).values())).pipeline
        assert accepts(family, variant, named, {}).rescale == ("guidance_rescale" in parameters(pipeline)), pipeline


def test_a_pipeline_of_the_generic_family_is_asked_itself() -> None:
    for pipeline in ("SanaPipeline", "AuraFlowPipeline", "HunyuanDiTPipeline"):
        family = generic_family(pipeline)
        if family is not None:
            expected = "guidance_rescale" in parameters(pipeline)
            assert accepts(family, "", pipeline, {}).rescale == expected, pipeline


@pytest.mark.parametrize(
    ("family", "variant", "config"),
    [
        ("sd1", "", {"_class_name": "PNDMScheduler", "skip_prk_steps": True}),
        ("sd1", "", {"_class_name": "PNDMScheduler", "skip_prk_steps": False}),
        ("sd1", "", {"_class_name": "PNDMScheduler"}),
        ("pixart", "", {"_class_name": "DPMSolverMultistepScheduler"}),
        ("sd1", "inpaint", {"_class_name": "PNDMScheduler"}),
        ("sd1", "inpaint", {"_class_name": "PNDMScheduler", "skip_prk_steps": False}),
        ("sd1", "inpaint", {"_class_name": "DDIMScheduler"}),
    ],
)
def test_pndm_of_too_few_steps_is_refused_at_once_and_only_where_the_scheduler_would(
    family: str, variant: str, config: dict[str, Any]
) -> None:
    """The inpainting pipeline puts that setting right in a configuration that has it; the scheduler itself decides else."""
    import diffusers

    from studio.engine.samplers import build_scheduler

    own = getattr(diffusers, config["_class_name"]).from_config(config).config
    if variant == "inpaint" and own.get("skip_prk_steps", True) is False:
        own = dict(own) | {"skip_prk_steps": True}
    found = accepts(FAMILIES.get(family), variant, None, config)
    model = MODEL.model_copy(update={"capabilities": found})
    three = GenerationRequest(model="m", sampler="pndm", steps=3)
    advice = options_for(model).advice.get("pndm", {}).get("default")
    if found.runge_kutta:
        with pytest.raises(InvalidRequest, match="at least 4 steps") as refused:
            resolve(three, model)
        assert refused.value.field == "steps" and advice is not None and advice.below == 4
        with pytest.raises(InvalidRequest, match="at least 4 steps"):
            build_scheduler(own, "pndm", "default", 3)
        resolve(three.model_copy(update={"steps": 4}), model)
        build_scheduler(own, "pndm", "default", 4)
    else:
        resolve(three, model)
        build_scheduler(own, "pndm", "default", 3)


def test_samplers_that_cannot_start_from_zero_signal_are_not_offered_to_a_model_that_was_trained_down_to_it() -> None:
    from studio.engine.samplers import scheduler_class_of

    able = {
        name
        for name, solver in SOLVERS.items()
        if not solver.scheduler
        or (
            "rescale_betas_zero_snr" in inspect.signature(scheduler_class_of(name).__init__).parameters
            and "flow_prediction" not in solver.predictions
        )
    }
    able -= {"dpm_fast", "dpm_adaptive"}  # whose steps are even in the logarithm of sigma, which has no end there
    assert {name for name, solver in SOLVERS.items() if solver.zero_snr} == able
    zero = able_to(prediction="v_prediction", zero_snr=True)
    assert set(legal_samplers(MODEL)) - set(legal_samplers(zero)) >= {"heun", "lms", "pndm", "deis"}
    with pytest.raises(InvalidRequest, match="heun does not work with M") as refused:
        resolve(GenerationRequest(model="m", sampler="heun"), zero)
    assert refused.value.field == "sampler"


@pytest.mark.parametrize(
    ("lacks", "values"),
    [("rescale", {"guidance_rescale": 0.5}), ("negative", {"negative_prompt": "rain"})],
)
def test_what_the_pipeline_takes_none_of_is_refused_at_its_field(lacks: str, values: dict[str, Any]) -> None:
    (field,) = values
    resolve(GenerationRequest(model="m", **values), MODEL)
    with pytest.raises(InvalidRequest, match="M takes no") as refused:
        resolve(GenerationRequest(model="m", **values), able_to(**{lacks: False}))
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("make", "good", "bad"),
    [
        (tiny_models.dit, ("0", "999"), ("a dragon", "1000", "")),
        (tiny_models.consistency, ("", "0"), ("-1", "a dragon", "99999")),
    ],
)
def test_a_class_that_the_model_has_not_is_refused_before_anything_is_loaded(
    tmp_path: Path, make: Any, good: tuple[str, ...], bad: tuple[str, ...]
) -> None:
    folder = make(tmp_path / "model")
    info = describe_path(tmp_path, folder)
    for prompt in good:
        check_request(GenerationRequest(prompt=prompt), info, folder)
    for prompt in bad if info.capabilities.prompted else ():
        with pytest.raises(InvalidRequest, match="class") as refused:
            check_request(GenerationRequest(prompt=prompt), info, folder)
        assert refused.value.field == "prompt"


def test_the_labels_of_an_index_are_those_that_the_pipeline_reads(tmp_path: Path) -> None:
    from diffusers import DiTPipeline

    folder = tiny_models.dit(tmp_path / "model")
    index = json.loads((folder / "model_index.json").read_text())
    index["id2label"] = {"0": "tench, Tinca tinca", "7": "cock"}
    (folder / "model_index.json").write_text(json.dumps(index))
    pipeline = DiTPipeline.from_pretrained(folder, local_files_only=True)
    assert labels_of(index["id2label"]) == pipeline.labels
    check_request(GenerationRequest(prompt="Tinca Tinca"), describe_path(tmp_path, folder), folder)


def test_the_studio_refuses_at_once_what_the_folder_s_configurations_rule_out(tmp_path: Path) -> None:
    tiny_models.dit(tmp_path / "models/classes")
    settings = Settings(models=(tmp_path / "models",), outputs=tmp_path / "out", device="cpu")
    with closing(Studio(settings, entry="tests.jobs.fake_worker:main")) as studio:
        with pytest.raises(InvalidRequest, match="class name or a number") as refused:
            studio.submit(GenerationRequest(model="classes", prompt="a dragon"))
        assert refused.value.field == "prompt" and studio.jobs() == []
