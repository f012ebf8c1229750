"""What was read becomes a request that is accepted as a whole, and what was left out, replaced or not used is said."""

from typing import Any

import pytest

from studio.core import infotext
from studio.core.models import Capabilities, Defaults, ModelInfo
from studio.core.options import resolve
from studio.core.request import parse_request
from studio.core.samplers import SOLVERS, SPACINGS
from studio.metadata.fit import Settings, fit
from studio.metadata.found import File, Found, Texts
from studio.metadata.programs import a1111
from tests.core.test_infotext import recipe

HASH = "6ce0161689b3853acaa03779ec93eafe75a02f4ced659bee03f50797806fa2fa"
V1 = ModelInfo(
    id="checkpoints/v1-5", title="Stable Diffusion 1.5", kind="checkpoint", family="sd1", sha256=HASH,
    capabilities=Capabilities(tasks=("text_to_image", "image_to_image"), parts=("vae", "lora")),
)  # fmt: skip
FLOW = ModelInfo(
    id="flow", title="Flow", kind="diffusers", family="sd3", defaults=Defaults(sampler="flow_euler"),
    capabilities=Capabilities(prediction="flow_prediction", negative=False, multiple=16),
)  # fmt: skip
INK = ModelInfo(id="loras/ink", title="Ink", kind="lora", family="sd1")
OTHER = ModelInfo(id="loras/flow_ink", title="Flow ink", kind="lora", family="sd3")
VAE = ModelInfo(id="vae/vae-ft-mse-840000-ema-pruned", title="MSE", kind="vae", family="sd1")
MODELS = [V1, FLOW, INK, OTHER, VAE]

SAMPLE = """a red cat, masterpiece <lora:ink:0.8>
Negative prompt: blurry
Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, \
Model hash: 6ce0161689, Model: v1-5, RNG: CPU, Lora hashes: "ink: 7c6bad76eb54", Version: v1.10.1"""
OLD = "a dog\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: 7.5, Seed: 1, Size: 512x512"


def settings(text: str, models: list[ModelInfo] = MODELS) -> Settings:
    found = a1111.read(Texts({"parameters": text}))
    assert found is not None
    return fit(found, models)


def of(sampler: str, schedule: str = "", model: str = "v1-5", **more: Any) -> Settings:
    return fit(Found("A program", prompt="x", sampler=sampler, schedule=schedule, model=File(model), **more), MODELS)


def test_their_text_becomes_settings() -> None:
    assert settings(SAMPLE) == Settings(
        {
            "prompt": "a red cat, masterpiece",
            "negative_prompt": "blurry",
            "steps": 20,
            "guidance_scale": 7.0,
            "guidance_rescale": 0.0,
            "clip_skip": 1,
            "seed": 965400086,
            "width": 512,
            "height": 768,
            "sampler": "dpmpp_2m",
            "spacing": "karras",
            "model": "checkpoints/v1-5",
            "parts": [{"kind": "lora", "model": "loras/ink", "weight": 0.8}],
        },
        (),
    )


def test_what_is_not_here_is_said_with_its_name_hash_and_weight() -> None:
    found = settings(SAMPLE, [])
    assert "model" not in found.fields and found.fields["parts"] == []
    assert found.notes == (
        "Left out: the model 'v1-5' (hash 6ce0161689) is not here.",
        "Left out: the LoRA 'ink' (hash 7c6bad76eb54) is not here (its weight is 0.8).",
    )


def test_old_names_carry_the_spacing() -> None:
    found = settings(OLD)
    assert (found.fields["sampler"], found.fields["spacing"]) == ("dpmpp_2m", "karras")
    assert "drawn on a GPU" in found.notes[0]


def test_what_is_unknown_or_out_of_bounds_is_left_out_by_name() -> None:
    found = settings("x\nSteps: 0, Sampler: Restart, CFG scale: nan, Seed: 7, Size: 513x512, RNG: CPU")
    own = {"sampler": "default", "spacing": "default", "guidance_rescale": 0.0, "clip_skip": 1, "parts": []}
    assert found.fields == {"prompt": "x", "negative_prompt": "", "seed": 7, "height": 512, **own}
    notes = "\n".join(found.notes)
    assert "Steps must be" in notes and "'Restart'" in notes and "CFG must be" in notes and "multiple of 8" in notes


@pytest.mark.parametrize(
    "text",
    ["CFG Scale: 3.5, STEPS: 8, seed: 4, size: 512x512", "Cfg scale: 3.5, Steps: 8, Seed: 4, Size: 512x512, RNG: CPU"],
)
def test_the_case_of_keys_counts_nowhere(text: str) -> None:
    wanted = {"guidance_scale": 3.5, "steps": 8, "seed": 4, "width": 512, "height": 512}
    assert settings(f"x\n{text}").fields.items() >= wanted.items()


@pytest.mark.parametrize("model", ["v1-5", "elsewhere"])
def test_a_pair_that_does_not_go_together_is_fitted_with_a_note(model: str) -> None:
    """Each of the two is fine by itself, and the form took them; the request was refused."""
    found = of("LCM", "Karras", model) if model == "elsewhere" else of("DDIM", "Karras", model)
    assert found.fields["spacing"] == "default" and found.fields["sampler"] in ("ddim", "lcm")
    assert any("Karras does not go with the sampler" in note for note in found.notes)


def test_a_flow_model_takes_the_plain_names_and_what_it_cannot_use_is_left_out() -> None:
    found = of("Euler", "Simple", "flow", negative_prompt="blurry", values={"width": 520, "height": 512})
    assert found.fields.items() >= {"model": "flow", "sampler": "flow_euler", "spacing": "default", "parts": []}.items()
    assert not {"width", "height", "negative_prompt"} & found.fields.keys()
    notes = "\n".join(found.notes)
    assert "Trailing does not go with" in notes and "no negative prompt" in notes and "multiple of 16" in notes
    assert of("DDIM", "", "flow").notes == ("The sampler DDIM does not work with Flow; its own is used.",)


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        (File("v1-5.safetensors", "6ce0161689"), ""),
        (File("SD\\V1-5.ckpt"), ""),
        (File("renamed", HASH.upper()), ""),
        (File("", "6CE0161689"), ""),
        (File("v1-5", "0123456789"), ("Stable Diffusion 1.5 here is another file than the picture's model of that name: its "
         "hash is 0123456789.")),
        (File("v1-5", "45dee52b"), "Not compared: the hash of its model, 45dee52b."),
    ],
)  # fmt: skip
def test_a_model_is_found_by_name_or_hash(file: File, sentence: str) -> None:
    found = fit(Found("A program", model=file), MODELS)
    assert found.fields["model"] == "checkpoints/v1-5" and found.notes == ((sentence,) if sentence else ())


def test_loras_and_vae_become_parts_and_those_of_another_family_are_left_out() -> None:
    loras = [File("ink.safetensors", weight=0.5, text_weight=0.25), File("Flow ink"), File("gone", weight=2)]
    found = of("Euler", loras=loras, vae=File("vae-ft-mse-840000-ema-pruned.ckpt"))
    assert found.fields["parts"] == [
        {"kind": "vae", "model": "vae/vae-ft-mse-840000-ema-pruned"},
        {"kind": "lora", "model": "loras/ink", "weight": 0.5, "text_weight": 0.25},
    ]
    assert "they do not fit" in found.notes[1] and "'gone' is not here (its weight is 2)" in found.notes[0]
    assert of("Euler", vae=File("Automatic")).notes == ()


def test_what_a_picture_does_not_say_does_not_stay_in_the_form() -> None:
    """But a prompt alone leaves all else as it is."""
    assert settings(OLD).fields.items() >= {"parts": [], "guidance_rescale": 0.0}.items()
    assert settings("a prompt alone").fields == {"prompt": "a prompt alone", "negative_prompt": ""}


def test_a_run_from_a_picture_asks_for_one() -> None:
    found = of("Euler", strength=0.45)
    assert found.fields["task"] == {"kind": "image_to_image", "strength": 0.45} and "choose one" in found.notes[0]
    assert "cannot do" in of("Euler", model="flow", strength=0.45).notes[0]
    assert "task" not in of("Euler", strength=7.0).fields


def test_what_is_fitted_is_accepted() -> None:
    for sampler in ("Euler a", "DPM++ 2M SDE", "LMS", "PLMS", "LCM", "Restart", "UniPC"):
        for schedule in ("Karras", "Simple", "Normal", "Automatic", "Beta", "KL Optimal", "SGM Uniform"):
            for model in (V1, FLOW):
                fields = of(sampler, schedule, model.id, values={"steps": 200, "width": 777}).fields
                resolve(parse_request(fields), model, MODELS)


def test_steps_that_no_model_takes_are_left_out() -> None:
    found = of("LCM", model="elsewhere", values={"steps": 200})
    assert "steps" not in found.fields and "at most 50 steps" in found.notes[-1]


def test_our_own_text_gives_its_loras_back() -> None:
    lora = {"kind": "lora", "model": "loras/ink", "weight": 0.8, "text_weight": 0.5}
    assert settings(infotext.write(recipe(model="checkpoints/v1-5", parts=[lora]))).fields["parts"] == [lora]


def test_weights_in_the_prompt_are_kept_as_they_are() -> None:
    found = fit(Found("A program", prompt="(best quality:1.2)"), [])
    assert (found.fields["prompt"], found.notes) == ("(best quality:1.2)", ())


def test_every_sampler_and_spacing_of_ours_has_a_name_there() -> None:
    for name in SOLVERS.names():
        written = settings(infotext.write(recipe(sampler=name)), []).fields["sampler"]
        assert written in (name, name.removeprefix("flow_"))
    for name, spacing in SPACINGS.items():
        written = infotext.write(recipe(spacing=name, sampler="dpmpp_2m"))
        found = settings(written, [])
        assert found.fields["spacing"] == name or f"{spacing.title} does not go" in found.notes[-1]
