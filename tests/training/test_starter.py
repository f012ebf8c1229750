"""The models that ship load with diffusers alone, and draw something."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    DiffusionPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
    StableDiffusionPipeline,
)
from PIL import Image
from safetensors.torch import load_file

from tests.sweeps import one_in

STARTER = Path(__file__).resolve().parents[2] / "models" / "starter"
UNET, PIXART = STARTER / "tinyworld-sd", STARTER / "tinyworld-pixart"
PROMPT = "a large red heart, plain white background"


def load(folder, kind=DiffusionPipeline):
    pipeline = kind.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("folder", one_in(2, [UNET, PIXART]), ids=lambda f: f.name)
def test_a_bare_pipeline_draws_a_red_heart_on_white(folder):
    options = {} if folder is UNET else {"use_resolution_binning": False}
    image = load(folder)(PROMPT, num_inference_steps=12, guidance_scale=4.0, generator=seeded(), **options).images[0]
    pixels = np.asarray(image).astype(int)
    assert image.size == (128, 128)
    assert pixels[64, 64, 0] > 150 > pixels[64, 64, 1:].max() + 30  # red in the middle
    assert pixels[:6, :6].min() > 200  # white in the corner


@pytest.mark.parametrize("folder", [UNET, PIXART], ids=lambda f: f.name)
def test_the_folder_is_small_half_precision_and_has_its_card(folder):
    assert sum(p.stat().st_size for p in folder.rglob("*")) <= 40e6
    assert not list(folder.rglob("*.bin")) + list(folder.rglob("*.pt")) + list(folder.rglob("*.py"))
    card = json.loads((folder / "unnoise.json").read_text())
    assert card["shipped"]
    assert card["title"]
    for path in folder.glob(
        "*/*.safetensors"
    ):  # the components; the preview map beside them is no part of the pipeline
        assert {value.dtype for value in load_file(path).values()} <= {torch.float16, torch.int64}, path


def test_the_siblings_of_the_unet_work_on_a_picture():
    picture = Image.new("RGB", (128, 128), (80, 140, 230))
    base = load(UNET, StableDiffusionPipeline)
    changed = StableDiffusionImg2ImgPipeline(**base.components, requires_safety_checker=False)
    changed.set_progress_bar_config(disable=True)
    out = changed(PROMPT, image=picture, strength=0.6, num_inference_steps=6, generator=seeded()).images[0]
    assert np.asarray(out).std() > 5
    mask = Image.new("L", (128, 128))
    mask.paste(255, (32, 32, 96, 96))
    filled = StableDiffusionInpaintPipeline(**base.components, requires_safety_checker=False)
    filled.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": 6, "height": 128, "width": 128, "generator": seeded()}
    out = filled("a yellow star, plain blue background", image=picture, mask_image=mask, **options).images[0]
    assert np.abs(np.asarray(out).astype(int)[:8, :8] - (80, 140, 230)).mean() < 40


def test_every_word_of_the_world_reaches_both_text_encoders():
    from studio.training.datasets import datasets

    words = {w for caption in datasets.get("tinyworld")().captions(0, 2000) for w in caption.replace(",", "").split()}
    for folder in (UNET, PIXART):
        tokenizer = load(folder).tokenizer
        for word in words:
            assert tokenizer.decode(tokenizer(word).input_ids[1:-1]).strip() == word
