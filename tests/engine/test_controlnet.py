"""ControlNets as parts: bit for bit what the stock pipelines give, from a folder and from a file, one and several."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from studio import compat
from studio.core.errors import InvalidRequest, ModelError, OutOfMemory
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import tiny_models

compat.prepare()

import diffusers  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.engine.parts.effect_masks import masked  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402

EDGES, START, WHITE, BLACK, LEFT = ("abcde"[k] * 64 for k in range(5))


def drawing(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (128, 128, 3), dtype="uint8"))


STORED = {
    EDGES: drawing(1),
    START: drawing(2),
    WHITE: Image.new("L", (128, 128), 255),
    BLACK: Image.new("L", (128, 128), 0),
    LEFT: Image.fromarray(np.repeat([[255] * 64 + [0] * 64], 128, axis=0).astype("uint8")),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from diffusers import ControlNetModel

    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "sd1")
    unet = diffusers.UNet2DConditionModel.from_pretrained(root / "sd1/unet", local_files_only=True)
    for seed, name in enumerate(("edges", "depth")):
        torch.manual_seed(seed)
        net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 16, 16, 32))
        for parameter in net.parameters():  # its last layers begin at zero, and would change nothing
            parameter.data += 0.05 * torch.randn_like(parameter)
        net.save_pretrained(root / "controlnets" / name)
    torch.manual_seed(3)
    alone = ControlNetModel.from_unet(unet)
    for parameter in alone.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    save_file(alone.state_dict(), root / "controlnets/pose.safetensors")
    alone.save_pretrained(root.with_name("bare") / "pose")
    return root


@pytest.fixture(scope="module")
def manager(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    manager = Manager(Settings(models=(models,), outputs=tmp_path_factory.mktemp("outputs"), device="cpu"))
    yield manager
    manager.unload()


def ids(manager: Manager) -> dict[str, str]:
    """Short name -> id."""
    found = {info.id: info for info in manager.catalog.models() if info.kind == "controlnet"}
    return {name: next(each for each in found if name in each) for name in ("edges", "depth", "pose")}


def asked(manager: Manager, *parts: dict[str, Any], **values: Any) -> GenerationRequest:
    listed, names = manager.catalog.models(), ids(manager)
    units = [{"kind": "controlnet", "image": EDGES} | part | {"model": names[part["model"]]} for part in parts]
    given = {"model": "sd1", "prompt": "a red heart", "sampler": "euler", "steps": 3, "seed": 7, "guidance_scale": 5.0}
    return resolve(GenerationRequest(**given | values, parts=units), find_model(listed, "sd1"), listed)


def make(manager: Manager, request: GenerationRequest) -> Result:
    with manager.lease(find_model(manager.catalog.models(), "sd1"), "fp32", request=request) as loaded:
        return next(iter(generate(request, loaded, read_image=STORED.__getitem__)))


def bare(models: Path, *names: str, pipeline: str = "StableDiffusionControlNetPipeline", **values: Any) -> np.ndarray:
    places = [models / "controlnets" / name for name in names]
    places = [place if place.is_dir() else models.with_name("bare") / place.name for place in places]
    nets = [diffusers.ControlNetModel.from_pretrained(place) for place in places]
    loaded = getattr(diffusers, pipeline).from_pretrained(
        models / "sd1", controlnet=nets[0] if len(nets) == 1 else nets, local_files_only=True
    )
    loaded.set_progress_bar_config(disable=True)
    loaded.scheduler = diffusers.EulerDiscreteScheduler.from_config(loaded.scheduler.config)
    given = {"prompt": "a red heart", "num_inference_steps": 3, "guidance_scale": 5.0}
    return np.asarray(loaded(**given | values, generator=torch.Generator().manual_seed(7)).images[0])


def test_one_unit_is_the_stock_pipeline_s(manager: Manager, models: Path) -> None:
    made = make(manager, asked(manager, {"model": "edges", "weight": 0.8, "end": 0.7}))
    expected = bare(models, "edges", image=STORED[EDGES], controlnet_conditioning_scale=0.8, control_guidance_end=0.7)
    assert np.array_equal(np.asarray(made.image), expected)
    assert made.recipe.pipeline == "StableDiffusionControlNetPipeline"
    plain = make(manager, asked(manager))
    assert not np.array_equal(np.asarray(plain.image), expected)


def test_a_single_file_goes_by_the_denoiser_s_configuration(manager: Manager, models: Path) -> None:
    made = make(manager, asked(manager, {"model": "pose"}))
    assert np.array_equal(np.asarray(made.image), bare(models, "pose", image=STORED[EDGES]))


def test_several_units_act_together(manager: Manager, models: Path) -> None:
    made = make(manager, asked(manager, {"model": "edges"}, {"model": "depth", "image": START, "weight": 0.5}))
    expected = bare(
        models, "edges", "depth", image=[STORED[EDGES], STORED[START]], controlnet_conditioning_scale=[1.0, 0.5]
    )
    assert np.array_equal(np.asarray(made.image), expected)


def test_a_mask_of_effect_says_where_it_acts(manager: Manager) -> None:
    whole, plain = make(manager, asked(manager, {"model": "edges"})), make(manager, asked(manager))
    everywhere = make(manager, asked(manager, {"model": "edges", "mask": WHITE}))
    assert everywhere.recipe.pixels == whole.recipe.pixels
    assert make(manager, asked(manager, {"model": "edges", "mask": BLACK})).recipe.pixels == plain.recipe.pixels
    left = make(manager, asked(manager, {"model": "edges", "mask": LEFT}))
    assert left.recipe.pixels not in (whole.recipe.pixels, plain.recipe.pixels)
    twice = ({"model": "edges", "mask": BLACK}, {"model": "edges"})  # one module, called for each unit in turn
    assert make(manager, asked(manager, *twice)).recipe.pixels == whole.recipe.pixels
    assert make(manager, asked(manager, {"model": "edges"})).recipe.pixels == whole.recipe.pixels


def test_masks_scale_residuals_at_every_resolution() -> None:
    mask = torch.zeros(1, 1, 64, 128)
    mask[..., :64] = 1
    maps, patches = torch.ones(2, 3, 4, 8), torch.ones(2, 32, 5)
    down, mid = masked(([maps, maps[..., ::2]], patches), mask)
    assert down[0][..., :4].min() == 1 and down[0][..., 4:].max() == 0
    assert mid.reshape(2, 4, 8, 5)[:, :, :4].min() == 1 and mid.reshape(2, 4, 8, 5)[:, :, 4:].max() == 0


def test_it_goes_with_image_to_image(manager: Manager, models: Path) -> None:
    task = {"kind": "image_to_image", "image": START, "strength": 0.7}
    made = make(manager, asked(manager, {"model": "edges"}, task=task))
    expected = bare(
        models,
        "edges",
        pipeline="StableDiffusionControlNetImg2ImgPipeline",
        image=STORED[START],
        control_image=STORED[EDGES],
        strength=0.7,
        controlnet_conditioning_scale=1.0,
    )
    assert np.array_equal(np.asarray(made.image), expected)


def test_its_weights_are_in_memory_under_the_budget_and_in_the_recipe(manager: Manager) -> None:
    made = make(manager, asked(manager, {"model": "edges"}))
    assert any("controlnet" in name for name in made.recipe.weights)
    assert "controlnet" in [name for name, _ in manager.resident()]


def test_run_stage_by_stage_it_is_the_same_picture(manager: Manager) -> None:
    """The budget holds the largest stage, and not all components at once."""
    request = asked(manager, {"model": "edges"})
    expected = make(manager, request).recipe.pixels
    manager.unload()
    with pytest.raises(OutOfMemory) as refused:
        manager.set_budget(1)
        make(manager, request)
    assert str(refused.value).endswith(".")
    size = 2**20
    while True:
        manager.set_budget(size)
        try:
            made = make(manager, request)
            break
        except OutOfMemory:
            size = size * 5 // 4
    manager.set_budget(None)
    assert made.recipe.pixels == expected


def test_a_unit_that_ends_before_it_begins_is_refused_at_its_field(manager: Manager) -> None:
    with pytest.raises(InvalidRequest, match="Start must lie before End") as refused:
        asked(manager, {"model": "edges", "start": 0.6, "end": 0.5})
    assert refused.value.field == "parts.0.start"


def test_one_of_another_class_is_refused_by_name(manager: Manager, models: Path) -> None:
    request, place = asked(manager, {"model": "depth"}), models / "controlnets/depth/config.json"
    config = place.read_text()
    try:
        place.write_text(config.replace('"ControlNetModel"', '"ControlNetUnionModel"'))
        with pytest.raises(ModelError, match=r"depth is a ControlNetUnionModel, and .* takes a ControlNetModel alone"):
            make(manager, request)
        place.write_text(config.replace('"cross_attention_dim": 32', '"cross_attention_dim": 48'))
        with pytest.raises(ModelError, match="depth does not fit sd1: its cross_attention_dim is another"):
            make(manager, request)
    finally:
        place.write_text(config)
