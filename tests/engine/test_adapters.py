"""T2I-Adapters and ControlNets for several kinds of control: bit for bit what the stock pipelines give."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from studio import compat
from studio.core.errors import InvalidRequest
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import components as c
from tests.models import tiny_models
from tests.models.folders import builder

compat.prepare()

import diffusers  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402

EDGES, OTHER, BLACK = ("abc"[k] * 64 for k in range(3))
STORED = {
    EDGES: Image.fromarray(np.random.default_rng(1).integers(0, 255, (128, 128, 3), dtype="uint8")),
    OTHER: Image.fromarray(np.random.default_rng(2).integers(0, 255, (32, 32, 3), dtype="uint8")),
    BLACK: Image.new("L", (128, 128), 0),
}
CALL: dict[str, Any] = {"prompt": "a heart", "negative_prompt": "", "num_inference_steps": 3, "guidance_scale": 5.0}


def noisy(net: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    for parameter in net.parameters():  # some layers begin at zero, and would change nothing
        parameter.data += 0.05 * torch.randn_like(parameter)
    return net


@builder("StableDiffusionXLPipeline")
def wide_xl() -> dict[str, Any]:
    """A union's embedding of its kinds is as wide as the published U-Net's first level, whatever the configuration says."""
    config = {name: value for name, value in c.unet_xl().config.items() if not name.startswith("_")}
    return tiny_models.xl_components() | {
        "unet": c.make("UNet2DConditionModel", **config | {"block_out_channels": (320, 32)})
    }


@builder("StableDiffusionXLPipeline")
def eightfold_xl() -> dict[str, Any]:
    """T2I-Adapters count on latents of an eighth of the picture's side, and on a first level without attention."""
    config = {name: value for name, value in c.unet_xl().config.items() if not name.startswith("_")}
    config["down_block_types"] = ("DownBlock2D", "CrossAttnDownBlock2D")
    config["up_block_types"] = ("CrossAttnUpBlock2D", "UpBlock2D")
    unet = c.make("UNet2DConditionModel", **config)
    return tiny_models.xl_components() | {"vae": c.vae_kl(levels=4), "unet": unet}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "sd1")
    wide_xl(root / "sdxl")
    eightfold_xl(root / "eightfold")
    for name, channels in (("canny", 1), ("color", 3)):
        adapter = diffusers.T2IAdapter(channels, [16, 32], 1, 8, "full_adapter")
        noisy(adapter, channels).save_pretrained(root / "t2i" / name)
    wide = diffusers.T2IAdapter(3, [16, 32, 32, 32], 1, 16, "full_adapter_xl")  # as published: one more than levels
    noisy(wide, 2).save_pretrained(root / "t2i/wide")
    unet = diffusers.UNet2DConditionModel.from_pretrained(root / "sdxl/unet", local_files_only=True)
    union = diffusers.ControlNetUnionModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16))
    noisy(union, 5).save_pretrained(root / "control/union")
    return root


@pytest.fixture(scope="module")
def manager(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    manager = Manager(Settings(models=(models,), outputs=tmp_path_factory.mktemp("outputs"), device="cpu"))
    yield manager
    manager.unload()


def asked(manager: Manager, model: str, *parts: dict[str, Any], **values: Any) -> GenerationRequest:
    listed = manager.catalog.models()
    names = {word: info.id for info in listed for word in ("canny", "color", "wide", "union") if word in info.id}
    units = [{"image": EDGES} | part | {"model": names.get(part.get("model", ""), "")} for part in parts]
    given = {"model": model, "prompt": "a heart", "sampler": "euler", "steps": 3, "seed": 7, "guidance_scale": 5.0}
    return resolve(GenerationRequest(**given | values, parts=units), find_model(listed, model), listed)


def make(manager: Manager, request: GenerationRequest) -> Result:
    with manager.lease(find_model(manager.catalog.models(), request.model), "fp32", request=request) as loaded:
        return next(iter(generate(request, loaded, read_image=STORED.__getitem__)))


def bare(pipeline: str, folder: Path, components: dict[str, Any], **values: Any) -> np.ndarray:
    loaded = getattr(diffusers, pipeline).from_pretrained(folder, local_files_only=True, **components)
    loaded.set_progress_bar_config(disable=True)
    loaded.scheduler = diffusers.EulerDiscreteScheduler.from_config(loaded.scheduler.config)
    return np.asarray(loaded(**CALL | values, generator=torch.Generator().manual_seed(7)).images[0])


def test_t2i_adapters_are_the_stock_pipeline_s_alone_and_together(manager: Manager, models: Path) -> None:
    nets = {name: diffusers.T2IAdapter.from_pretrained(models / "t2i" / name) for name in ("canny", "color")}
    first = {"kind": "t2i_adapter", "model": "canny", "weight": 0.8}
    made, grey = make(manager, asked(manager, "sd1", first)), STORED[EDGES].convert("L")
    name, folder = "StableDiffusionAdapterPipeline", models / "sd1"
    expected = bare(name, folder, {"adapter": nets["canny"]}, image=grey, adapter_conditioning_scale=0.8)
    assert np.array_equal(np.asarray(made.image), expected)
    assert made.recipe.pipeline == name and "adapter" in made.recipe.weights
    both = make(manager, asked(manager, "sd1", first, {"kind": "t2i_adapter", "model": "color"}))
    given = {"image": [grey, STORED[EDGES]], "adapter_conditioning_scale": [0.8, 1.0]}
    assert np.array_equal(np.asarray(both.image), bare(name, folder, {"adapter": list(nets.values())}, **given))
    nowhere = make(manager, asked(manager, "sd1", first | {"mask": BLACK}))
    assert nowhere.recipe.pixels == make(manager, asked(manager, "sd1")).recipe.pixels


def test_a_t2i_adapter_acts_in_its_share_of_the_steps(manager: Manager, models: Path) -> None:
    unit = {"kind": "t2i_adapter", "model": "wide", "end": 0.5}
    made = make(manager, asked(manager, "eightfold", unit, steps=4))
    name, adapter = "StableDiffusionXLAdapterPipeline", diffusers.T2IAdapter.from_pretrained(models / "t2i/wide")
    given = {"image": STORED[EDGES], "adapter_conditioning_factor": 0.5, "num_inference_steps": 4}
    assert np.array_equal(np.asarray(made.image), bare(name, models / "eightfold", {"adapter": adapter}, **given))
    color, late = {"kind": "t2i_adapter", "model": "color"}, {"kind": "t2i_adapter", "model": "canny", "start": 0.9}
    both = make(manager, asked(manager, "sd1", color, late))  # the other one begins after the last step
    assert both.recipe.pixels == make(manager, asked(manager, "sd1", color)).recipe.pixels


def test_what_no_pipeline_has_together_is_refused(manager: Manager) -> None:
    unit = {"kind": "t2i_adapter", "model": "canny"}
    with pytest.raises(InvalidRequest, match="takes no T2I-Adapters in image to image"):
        asked(manager, "sd1", unit, task={"kind": "image_to_image", "image": EDGES})
    with pytest.raises(InvalidRequest, match="do not go together in one picture"):
        asked(manager, "sd1", unit, {"kind": "controlnet"})


def test_a_union_s_mode_is_the_annotator_s(manager: Manager, models: Path) -> None:
    unit = {"kind": "controlnet", "model": "union", "image": OTHER, "source": OTHER, "annotator": "depth_midas"}
    request = asked(manager, "sdxl", unit | {"weight": 0.7, "end": 0.7})
    assert request.parts[0].model_dump()["control_mode"] == 1
    made, net = make(manager, request), diffusers.ControlNetUnionModel.from_pretrained(models / "control/union")
    name, folder = "StableDiffusionXLControlNetUnionPipeline", models / "sdxl"
    given = {"controlnet_conditioning_scale": 0.7, "control_guidance_end": 0.7}
    expected = bare(name, folder, {"controlnet": net}, control_image=[STORED[OTHER]], control_mode=[1], **given)
    assert np.array_equal(np.asarray(made.image), expected) and made.recipe.pipeline == name
    with pytest.raises(InvalidRequest, match=r"several kinds of control: choose an annotator.*openpose") as refused:
        asked(manager, "sdxl", unit | {"annotator": "shuffle"})
    assert refused.value.field == "parts.0.control_mode"


@pytest.mark.sweep
def test_two_of_a_union_act_together(manager: Manager, models: Path) -> None:
    unit = {"kind": "controlnet", "model": "union", "image": OTHER, "source": OTHER, "annotator": "depth_midas"}
    net, folder = diffusers.ControlNetUnionModel.from_pretrained(models / "control/union"), models / "sdxl"
    name = "StableDiffusionXLControlNetUnionPipeline"
    two = make(manager, asked(manager, "sdxl", unit, unit | {"control_mode": 3}))
    given = {"control_image": [STORED[OTHER]] * 2, "control_mode": [1, 3], "controlnet_conditioning_scale": [1.0, 1.0]}
    assert np.array_equal(np.asarray(two.image), bare(name, folder, {"controlnet": [net, net]}, **given))
