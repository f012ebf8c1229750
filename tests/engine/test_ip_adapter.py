"""IP-Adapters as parts: bit for bit what the stock pipelines give, and a U-Net that is as before afterwards."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from studio import compat
from studio.core.errors import InvalidRequest, ModelError
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import components as c
from tests.models import tiny_models
from tests.models.folders import builder
from tests.models.ip_adapter_files import image_encoder, ip_adapter
from tests.sweeps import one_in

compat.prepare()

import diffusers  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402

TREE, SKY, WHITE, BLACK, LEFT, GREY = ("abcdef"[k] * 64 for k in range(6))
STORED = {
    TREE: Image.fromarray(np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype="uint8")),
    SKY: Image.fromarray(np.random.default_rng(2).integers(0, 255, (64, 64, 3), dtype="uint8")),
    WHITE: Image.new("L", (128, 128), 255),
    BLACK: Image.new("L", (128, 128), 0),
    GREY: Image.new("L", (128, 128), 128),
    LEFT: Image.fromarray(np.repeat([[255] * 64 + [0] * 64], 128, axis=0).astype("uint8")),
}
LEVELS = {
    "block_out_channels": (16, 32, 32), "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip


@builder("StableDiffusionXLPipeline")
def deep_xl() -> dict[str, Any]:
    """With the levels that the published one has."""
    config = {name: value for name, value in c.unet_xl().config.items() if not name.startswith("_")}
    return tiny_models.xl_components() | {"unet": c.make("UNet2DConditionModel", **config | LEVELS)}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "sd1")
    deep_xl(root / "sdxl")
    unets = {
        name: diffusers.UNet2DConditionModel.from_pretrained(root / name / "unet", local_files_only=True)
        for name in ("sd1", "sdxl")
    }
    image_encoder(root / "ip/image_encoder")
    ip_adapter(root / "ip/tiny_sd15.safetensors", unets["sd1"])
    ip_adapter(root / "ip/tiny-plus_sd15.safetensors", unets["sd1"], plus=True, seed=1)
    ip_adapter(root / "ip/tiny_sdxl.safetensors", unets["sdxl"], seed=2)
    return root


@pytest.fixture(scope="module")
def manager(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    manager = Manager(Settings(models=(models,), outputs=tmp_path_factory.mktemp("outputs"), device="cpu"))
    yield manager
    manager.unload()


def asked(manager: Manager, *parts: dict[str, Any], model: str = "sd1", **values: Any) -> GenerationRequest:
    listed = manager.catalog.models()
    units = [{"kind": "ip_adapter", "image": TREE, "model": "tiny_sd15"} | part for part in parts]
    given = {"prompt": "a red heart", "sampler": "euler", "steps": 4, "seed": 7, "guidance_scale": 5.0}
    request = GenerationRequest(**given | {"model": model} | values, parts=units)
    return resolve(request, find_model(listed, model), listed)


def make(manager: Manager, request: GenerationRequest) -> Result:
    with manager.lease(find_model(manager.catalog.models(), request.model), "fp32", request=request) as loaded:
        return next(iter(generate(request, loaded, read_image=STORED.__getitem__)))


def bare(models: Path, files: list[str], scale: Any, *, model: str = "sd1", stop: int | None = None, **values: Any):
    cls = diffusers.StableDiffusionXLPipeline if model == "sdxl" else diffusers.StableDiffusionPipeline
    pipeline = cls.from_pretrained(models / model, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    names = [f"{file}.safetensors" for file in files]
    pipeline.load_ip_adapter(str(models / "ip"), "", names, "image_encoder", local_files_only=True)
    pipeline.set_ip_adapter_scale(scale)
    given = {"prompt": "a red heart", "negative_prompt": "", "num_inference_steps": 4, "guidance_scale": 5.0}
    given |= {"ip_adapter_image": [STORED[TREE]] * len(files)}

    def ending(pipe: Any, step: int, timestep: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        if step + 1 == stop:
            pipe.set_ip_adapter_scale(0.0)
        return kwargs

    generator = torch.Generator().manual_seed(7)
    return np.asarray(pipeline(**given | values, callback_on_step_end=ending, generator=generator).images[0])


def test_one_is_the_stock_pipeline_s_and_leaves_nothing(manager: Manager, models: Path) -> None:
    plain = make(manager, asked(manager))
    made = make(manager, asked(manager, {"weight": 0.7}))
    assert np.array_equal(np.asarray(made.image), bare(models, ["tiny_sd15"], 0.7))
    assert made.recipe.pixels != plain.recipe.pixels
    assert {"image_encoder", "ip-adapter ip/tiny_sd15"} <= made.recipe.weights.keys()
    assert make(manager, asked(manager)).recipe.pixels == plain.recipe.pixels
    with manager.lease(find_model(manager.catalog.models(), "sd1"), "fp32") as loaded:
        unet = loaded.components["unet"]
        assert {type(each).__name__ for each in unet.attn_processors.values()} == {"AttnProcessor2_0"}
        assert unet.encoder_hid_proj is None and unet.config.encoder_hid_dim_type is None


def test_plus_and_several_at_once(manager: Manager, models: Path) -> None:
    plus = make(manager, asked(manager, {"model": "tiny-plus_sd15"}))
    assert np.array_equal(np.asarray(plus.image), bare(models, ["tiny-plus_sd15"], 0.6))
    both = [{"model": "tiny_sd15", "weight": 0.5}, {"model": "tiny-plus_sd15", "weight": 0.9}]
    made = make(manager, asked(manager, *both))
    expected = bare(models, ["tiny-plus_sd15", "tiny_sd15"], [0.9, 0.5])
    assert np.array_equal(np.asarray(made.image), expected)
    assert make(manager, asked(manager, *reversed(both))).recipe.pixels == made.recipe.pixels


@pytest.mark.parametrize(
    ("mode", "blocks"),
    one_in(
        3, [("style", {"up": {"block_0": [0, 0.8, 0]}}), ("composition", {"down": {"block_2": [0, 0.8]}}), ("all", 0.8)]
    ),
)
def test_its_mode_says_which_layers_see_it(manager: Manager, models: Path, mode: str, blocks: Any) -> None:
    made = make(manager, asked(manager, {"model": "tiny_sdxl", "mode": mode, "weight": 0.8}, model="sdxl"))
    assert np.array_equal(np.asarray(made.image), bare(models, ["tiny_sdxl"], blocks, model="sdxl"))


def test_it_acts_in_its_share_of_the_steps_and_within_its_mask(manager: Manager, models: Path) -> None:
    ended = make(manager, asked(manager, {"end": 0.5}))
    assert np.array_equal(np.asarray(ended.image), bare(models, ["tiny_sd15"], 0.6, stop=2))
    whole, plain = make(manager, asked(manager, {})), make(manager, asked(manager))
    masked = {name: make(manager, asked(manager, {"mask": name})).recipe.pixels for name in (WHITE, BLACK, LEFT, GREY)}
    assert masked[WHITE] == whole.recipe.pixels and masked[BLACK] == plain.recipe.pixels
    assert len({*masked.values()}) == 4
    mask = np.asarray(STORED[LEFT], dtype="float32")[None, None] / 255
    kwargs = {"ip_adapter_masks": [torch.from_numpy(mask)]}
    expected = bare(models, ["tiny_sd15"], 0.6, cross_attention_kwargs=kwargs)
    assert np.array_equal(np.asarray(make(manager, asked(manager, {"mask": LEFT})).image), expected)


def test_run_stage_by_stage_it_is_the_same_picture(manager: Manager) -> None:
    """The budget holds the largest stage, and not all components at once; the encoder is called with the text's."""
    from studio.core.errors import OutOfMemory

    request = asked(manager, {"model": "tiny-plus_sd15", "start": 0.2, "mask": LEFT})
    expected = make(manager, request).recipe.pixels
    manager.unload()
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


def test_what_does_not_fit_is_refused_by_name(manager: Manager, models: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="Start must lie before End") as refused:
        asked(manager, {"start": 0.6, "end": 0.5})
    assert refused.value.field == "parts.0.start"
    with pytest.raises(ModelError, match=r"tiny_sdxl does not fit .*, whose layers are others"):
        make(manager, asked(manager, {"model": "tiny_sdxl"}))
    with pytest.raises(ModelError, match=r"has no layers for style alone"):
        make(manager, asked(manager, {"mode": "style"}))
    config = models / "ip/image_encoder/config.json"
    kept = config.read_text()
    try:
        config.write_text(kept.replace('"projection_dim": 24', '"projection_dim": 25'))
        with pytest.raises(InvalidRequest, match=r"needs a CLIP image encoder whose embeddings are 24 wide.*image_enc"):
            asked(manager, {})
        assert asked(manager, {"model": "tiny-plus_sd15"})
    finally:
        config.write_text(kept)
