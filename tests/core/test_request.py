"""A request as text: what a browser would round travels exactly, and what is no seed is refused in a sentence."""

import json

import pytest

from studio.core.errors import InvalidRequest, StudioError
from studio.core.events import Image, from_json, to_json
from studio.core.models import Capabilities, Defaults, ModelInfo
from studio.core.options import find_model, resolve
from studio.core.request import EXACT, MAX_SEED, GenerationRequest, parse_request


@pytest.mark.parametrize("seed", [-1, 0, EXACT, EXACT + 1, MAX_SEED])
def test_a_seed_survives_json_whoever_reads_it(seed: int) -> None:
    """A browser reads numbers as floats; there, what was sent as text comes back as the same text."""
    request = parse_request({"seed": seed})
    as_a_browser_would = json.loads(request.model_dump_json(), parse_int=lambda digits: int(float(digits)))
    assert parse_request(as_a_browser_would) == request
    event = Image(id="a", index=0, seed=seed, width=8, height=8, path="a.png", sha256="")
    assert from_json(to_json(event)) == event


@pytest.mark.parametrize(
    "values", [{"seed": 2**64}, {"seed": 2**70}, {"seed": str(2**70)}, {"seed": -2}, {"seed": 1.5}]
)
def test_what_is_no_seed_is_refused_in_one_sentence(values: dict[str, object]) -> None:
    with pytest.raises(
        InvalidRequest, match=r"^Seed must be a whole number from -1 to 18,446,744,073,709,551,615"
    ) as refused:
        parse_request(values)
    assert refused.value.field == "seed"


def test_the_last_image_of_a_job_has_a_seed_too() -> None:
    assert GenerationRequest(seed=MAX_SEED - 1, count=2).seed == MAX_SEED - 1
    with pytest.raises(InvalidRequest, match="past 18446744073709551615"):
        parse_request({"seed": MAX_SEED, "count": 2})


def test_what_was_not_given_is_the_models_own() -> None:
    turbo = ModelInfo(
        id="turbo", title="Turbo", kind="diffusers",
        defaults=Defaults(sampler="euler", spacing="trailing", steps=4, guidance_scale=1.0),
    )  # fmt: skip
    own = resolve(GenerationRequest(prompt="a cat"), turbo)
    assert (own.sampler, own.steps, own.guidance_scale) == ("euler", 4, 1.0)
    assert own.spacing == "default"  # what the model's own configuration says
    given = resolve(GenerationRequest(steps=20, guidance_scale=5.0), turbo)
    assert (given.steps, given.guidance_scale) == (20, 5.0)
    assert resolve(own, turbo) == own


def test_a_file_that_diffusers_named_goes_by_its_folder() -> None:
    files = [
        ModelInfo(id=f"starter/{name}/diffusion_pytorch_model", title=name.title(), kind="controlnet")
        for name in ("edges", "regions")
    ]
    for name in ("edges", "starter/edges", "starter/edges/diffusion_pytorch_model", "Edges"):
        assert find_model(files, name) is files[0]
    with pytest.raises(InvalidRequest, match="could be any of"):
        find_model(files, "diffusion_pytorch_model")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("cut", "cut cannot be used: The file is incomplete"),
        ("sharp", "sharp cannot be used: it is of kind vae, not the LoRA"),
        ("none", "Unknown LoRA 'none'. Choose one of: ink"),
    ],
)
def test_a_file_that_is_here_and_is_no_good_for_a_part_is_refused_with_the_reason(name: str, reason: str) -> None:
    pencil = ModelInfo(id="m", title="M", kind="diffusers", family="sd1", capabilities=Capabilities(parts=("lora",)))
    files = [
        ModelInfo(id="ink", title="Ink", kind="lora", family="sd1"),
        ModelInfo(id="cut", title="cut", kind="unknown", problem="The file is incomplete."),
        ModelInfo(id="sharp", title="sharp", kind="vae"),
    ]
    request = GenerationRequest(model="m", prompt="", parts=({"kind": "lora", "model": name},))  # type: ignore[arg-type]
    with pytest.raises(StudioError, match=reason):
        resolve(request, pencil, [pencil, *files])
