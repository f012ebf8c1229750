"""LoRAs as parts: bit for bit what diffusers' own loading gives, several at once, and a base that is as it was afterwards."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from studio import compat
from studio.core.errors import InvalidRequest, OutOfMemory, StudioError
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import lora_files, tiny_models
from tests.sweeps import one_in

compat.prepare()

import diffusers  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.engine.replay import replay  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402

FLAVOURS = ("loha", "lokr", "dora", "full")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "sd1")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(root / "sd1", local_files_only=True)
    lora_files.kohya(root / "loras/ink.safetensors", pipeline.unet, pipeline.text_encoder, seed=1)
    lora_files.peft(root / "loras/wax.safetensors", pipeline.unet, pipeline.text_encoder, seed=2)
    lora_files.kohya(root / "loras/only_unet.safetensors", pipeline.unet, seed=3)
    wrong = {f"lora_unet_nowhere_{k}.lora_{way}.weight": torch.zeros(4, 4) for k in range(3) for way in ("up", "down")}
    save_file(wrong, root / "loras/elsewhere.safetensors")
    lora_files.raw_peft(root / "raw/pure.safetensors", pipeline.unet, seed=4)
    for seed, flavour in enumerate(FLAVOURS, 5):
        lora_files.whole(root / f"loras/{flavour}.safetensors", pipeline.unet, flavour, seed, pipeline.text_encoder)
    partial = load_file(root / "loras/ink.safetensors")
    save_file(partial | dict(list(wrong.items())[:2]), root / "loras/partial.safetensors")
    wide = {key: torch.ones(tensor.shape[0], 99) if "lora_down" in key else tensor for key, tensor in partial.items()}
    save_file(wide, root / "loras/wide.safetensors")
    save_file({key: tensor * float("nan") for key, tensor in partial.items()}, root / "loras/nan.safetensors")
    return root


@pytest.fixture(scope="module")
def manager(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    manager = Manager(Settings(models=(models,), outputs=tmp_path_factory.mktemp("outputs"), device="cpu"))
    yield manager
    manager.unload()


def asked(manager: Manager, *parts: dict[str, Any], **values: Any) -> GenerationRequest:
    listed = manager.catalog.models()
    loras = [{"kind": "lora"} | part for part in parts]
    given = {"model": "sd1", "prompt": "a red heart", "sampler": "euler", "steps": 3, "seed": 7, "guidance_scale": 5.0}
    return resolve(GenerationRequest(**given | values, parts=loras), find_model(listed, "sd1"), listed)


def make(manager: Manager, request: GenerationRequest) -> Result:
    with manager.lease(find_model(manager.catalog.models(), "sd1"), "fp32", request=request) as loaded:
        return next(iter(generate(request, loaded)))


def bare(models: Path, *loras: tuple[str, Any]) -> np.ndarray:
    return plain(models) if not loras else _bare(models, *loras)


@functools.cache
def plain(models: Path) -> np.ndarray:
    """Without any LoRA."""
    return _bare(models)


def _bare(models: Path, *loras: tuple[str, Any]) -> np.ndarray:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(models / "sd1", local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    for name, _ in loras:
        pipeline.load_lora_weights(load_file(models / f"loras/{name}.safetensors"), adapter_name=name)
    if loras:
        pipeline.set_adapters([name for name, _ in loras], [weight for _, weight in loras])
    output = pipeline(
        "a red heart", num_inference_steps=3, guidance_scale=5.0, generator=torch.Generator().manual_seed(7)
    )
    return np.asarray(output.images[0])


@pytest.mark.parametrize(
    ("name", "weight"),
    one_in(6, [("wax", 0.4), ("ink", 1.0), ("wax", 1.0), ("ink", 0.4), ("ink", -0.7), ("wax", -0.7)]),
)
def test_one_lora_is_what_diffusers_gives(manager: Manager, models: Path, name: str, weight: float) -> None:
    made = make(manager, asked(manager, {"model": name, "weight": weight}))
    assert np.array_equal(np.asarray(made.image), bare(models, (name, weight)))
    assert not np.array_equal(np.asarray(made.image), bare(models))


def test_a_file_for_the_denoiser_alone_touches_nothing_else(manager: Manager, models: Path) -> None:
    made = make(manager, asked(manager, {"model": "only_unet"}))
    assert np.array_equal(np.asarray(made.image), bare(models, ("only_unet", 1.0)))


def test_the_text_encoder_has_a_weight_of_its_own(manager: Manager, models: Path) -> None:
    made = make(manager, asked(manager, {"model": "ink", "weight": 0.8, "text_weight": 0.3}))
    expected = bare(models, ("ink", {"unet": 0.8, "text_encoder": 0.3}))
    assert np.array_equal(np.asarray(made.image), expected)


def test_several_act_together(manager: Manager, models: Path) -> None:
    both = [{"model": "ink", "weight": 0.5}, {"model": "wax", "weight": 0.7}]
    made = make(manager, asked(manager, *both))
    assert np.array_equal(np.asarray(made.image), bare(models, ("ink", 0.5), ("wax", 0.7)))
    assert make(manager, asked(manager, *both[::-1])).recipe.pixels == made.recipe.pixels  # in whatever order


def test_afterwards_the_base_is_as_it_was_to_the_last_bit(manager: Manager, models: Path) -> None:
    before = make(manager, asked(manager))
    with manager.lease(find_model(manager.catalog.models(), "sd1"), "fp32") as loaded:
        modules = {name: loaded.components[name] for name in ("unet", "text_encoder")}
        kept = {name: {k: v.clone() for k, v in module.state_dict().items()} for name, module in modules.items()}
    both, other = {"model": "ink", "text_weight": 0.3}, [{"model": "dora"}, {"model": "wax"}, {"model": "loha"}]
    for parts in ([both], [both, {"model": "wax"}], [{"model": "wax", "weight": 0.0}], other):
        make(manager, asked(manager, *parts))
        for name, module in modules.items():
            state = module.state_dict()
            assert state.keys() == kept[name].keys() and not hasattr(module, "peft_config")
            assert all(torch.equal(state[key], kept[name][key]) for key in state)
    assert make(manager, asked(manager)).recipe.pixels == before.recipe.pixels


def test_a_lora_at_weight_zero_is_the_base(manager: Manager, models: Path) -> None:
    assert np.array_equal(
        np.asarray(make(manager, asked(manager, {"model": "ink", "weight": 0.0})).image), bare(models)
    )


def test_a_lora_is_replayed_with_the_picture_and_named_in_its_recipe(manager: Manager) -> None:
    made = make(manager, asked(manager, {"model": "ink", "weight": 0.6}))
    assert any("ink" in name for name in made.recipe.weights)
    again = replay(made.recipe, manager, manager.catalog.models(), picture=made.image)
    assert again.verdict == "bit-identical"


def test_under_a_small_budget_it_is_the_same_picture(manager: Manager, models: Path) -> None:
    """Run stage by stage, what is attached is off again before its module is evicted."""
    request = asked(manager, {"model": "ink"})
    expected, size = make(manager, request).recipe.pixels, 2**20
    manager.unload()
    while True:
        manager.set_budget(size)
        try:
            made = make(manager, request)
            break
        except OutOfMemory:
            size = size * 5 // 4
    manager.set_budget(None)
    assert made.recipe.pixels == expected


@pytest.mark.sweep
def test_the_order_in_which_they_are_listed_changes_nothing(manager: Manager) -> None:
    loras = [{"model": name, "weight": 0.6} for name in ("ink", "wax", "lokr", "dora")]
    assert (
        make(manager, asked(manager, *loras)).recipe.pixels == make(manager, asked(manager, *loras[::-1])).recipe.pixels
    )


@pytest.mark.parametrize("name", FLAVOURS)
def test_other_flavours_give_the_layer_the_weight_that_their_papers_say(
    manager: Manager, models: Path, name: str
) -> None:
    tensors, prefix = load_file(models / f"loras/{name}.safetensors"), "lora_unet_mid_block_attentions_0_"
    stem = next(key.partition(".")[0] for key in tensors if key.startswith(prefix))
    part = {key.partition(".")[2]: tensor for key, tensor in tensors.items() if key.partition(".")[0] == stem}
    info, request = find_model(manager.catalog.models(), "sd1"), asked(manager, {"model": name, "weight": 1.0})
    with manager.lease(info, "fp32") as loaded:
        flat = {n.replace(".", "_"): layer for n, layer in loaded.components["unet"].named_modules()}
        layer = flat[stem.removeprefix("lora_unet_")]
        base = layer.weight.clone()
    if name == "loha":
        one, two = (part[f"hada_w{n}_a"] @ part[f"hada_w{n}_b"] for n in (1, 2))
        expected = base + one * two * 2.0 / lora_files.RANK
    elif name == "lokr":
        expected = base + torch.kron(part["lokr_w1"], part["lokr_w2"])
    elif name == "full":
        expected = base + part["diff"]
    else:
        aim = base + part["lora_up.weight"] @ part["lora_down.weight"] * 2.0 / lora_files.RANK
        expected = part["dora_scale"] * aim / aim.norm(dim=1, keepdim=True)
    with manager.lease(info, "fp32", request=request):
        assert torch.allclose(layer.weight, expected, atol=1e-6)
    assert torch.equal(layer.weight, base)


def test_peft_s_own_file_keeps_the_scale_that_lies_beside_it(manager: Manager, models: Path) -> None:
    halved = {
        key.replace("base_model.model.", "unet."): t for key, t in load_file(models / "raw/pure.safetensors").items()
    }
    halved = {key: tensor / 2 if "lora_B" in key else tensor for key, tensor in halved.items()}
    save_file(halved, models / "loras/halved.safetensors")
    one, other = (np.asarray(make(manager, asked(manager, {"model": name})).image) for name in ("pure", "halved"))
    assert np.abs(one.astype(int) - other).max() <= 1 and not np.array_equal(one, bare(models))


def test_a_partial_match_is_a_note_of_the_recipe(manager: Manager, models: Path) -> None:
    made = make(manager, asked(manager, {"model": "partial"}))
    assert np.array_equal(np.asarray(made.image), bare(models, ("ink", 1.0)))
    assert [note for note in made.recipe.notes if "also has 1 layer that the model does not have" in note]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wide", "does not fit this model: .* numbers here and 99 in the file"),
        ("nan", "not finite"),
        ("elsewhere", "no layer"),
    ],
)
def test_what_cannot_be_attached_is_refused_before_the_run_and_leaves_nothing(
    manager: Manager, name: str, sentence: str
) -> None:
    with pytest.raises(StudioError, match=sentence):
        make(manager, asked(manager, {"model": "ink"}, {"model": name}))
    with manager.lease(find_model(manager.catalog.models(), "sd1"), "fp32") as loaded:
        for module in (loaded.components["unet"], loaded.components["text_encoder"]):
            assert not hasattr(module, "peft_config") and not any("lora" in n for n, _ in module.named_modules())


def test_one_that_was_deleted_meanwhile_is_named(manager: Manager, models: Path) -> None:
    file = models / "loras/gone.safetensors"
    file.write_bytes((models / "loras/ink.safetensors").read_bytes())
    request = asked(manager, {"model": "gone"})
    file.unlink()
    with pytest.raises(StudioError, match="gone, which is not here"):
        make(manager, request)


@pytest.mark.parametrize(
    ("parts", "field", "sentence"),
    [
        ([{"model": "nothing"}], "parts.0.model", "Unknown LoRA 'nothing'"),
        ([{"model": "ink"}, {"model": "ink", "weight": 9}], "parts.1.weight", "Weight must be a number from -4 to 4"),
        ([{"model": "sd1"}], "parts.0.model", "sd1 cannot be used: it is of kind diffusers, not the LoRA"),
    ],
)
def test_bad_loras_are_refused_at_their_field(
    manager: Manager, parts: list[dict[str, Any]], field: str, sentence: str
) -> None:
    from studio.core.request import parse_request

    listed = manager.catalog.models()
    with pytest.raises(InvalidRequest, match=sentence) as refused:
        request = parse_request({"model": "sd1", "parts": [{"kind": "lora"} | part for part in parts]})
        resolve(request, find_model(listed, "sd1"), listed)
    assert refused.value.field == field
