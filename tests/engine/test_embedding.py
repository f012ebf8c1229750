"""Embeddings as parts: what diffusers' own loading gives, and tokenizers and encoders that are as before afterwards."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from studio import compat
from studio.core.errors import StudioError
from studio.core.options import find_model, resolve
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from tests.models import tiny_models

compat.prepare()

import diffusers  # noqa: E402

from studio.engine.generate import Result, generate  # noqa: E402
from studio.manager.manager import Manager  # noqa: E402

PROMPT = "a red swirl, heart"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    tiny_models.stable_diffusion(root / "sd1")
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(root / "sd1", local_files_only=True)
    width = pipeline.text_encoder.config.hidden_size
    (root / "embeddings").mkdir()
    generator = torch.Generator().manual_seed(5)
    for name, size in (("swirl", width), ("other", width + 8)):
        save_file({"emb_params": torch.randn(2, size, generator=generator)}, root / f"embeddings/{name}.safetensors")
    save_file({"emb_params": torch.full((1, width), float("nan"))}, root / "embeddings/broken.safetensors")
    return root


@pytest.fixture(scope="module")
def manager(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    manager = Manager(Settings(models=(models,), outputs=tmp_path_factory.mktemp("outputs"), device="cpu"))
    yield manager
    manager.unload()


def make(manager: Manager, *names: str, prompt: str = PROMPT) -> Result:
    listed = manager.catalog.models()
    parts = [{"kind": "embedding", "model": name} for name in names]
    given = {"model": "sd1", "prompt": prompt, "sampler": "euler", "steps": 2, "seed": 7, "guidance_scale": 5.0}
    request = resolve(GenerationRequest(**given, parts=parts), find_model(listed, "sd1"), listed)
    with manager.lease(find_model(listed, "sd1"), "fp32", request=request) as loaded:
        return next(iter(generate(request, loaded)))


def test_its_name_in_the_prompt_is_what_diffusers_makes_of_it(manager: Manager, models: Path) -> None:
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(models / "sd1", local_files_only=True)
    pipeline.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    pipeline.load_textual_inversion(models / "embeddings/swirl.safetensors", token="swirl", local_files_only=True)
    expected = pipeline(PROMPT, num_inference_steps=2, guidance_scale=5.0, generator=torch.Generator().manual_seed(7))
    plain, made = make(manager), make(manager, "swirl")
    assert np.array_equal(np.asarray(made.image), np.asarray(expected.images[0]))
    assert made.recipe.pixels != plain.recipe.pixels
    assert len(made.recipe.weights["embedding embeddings/swirl"]) == 64
    assert make(manager).recipe.pixels == plain.recipe.pixels  # nothing of it is left
    with manager.lease(find_model(manager.catalog.models(), "sd1"), "fp32") as loaded:
        assert "swirl" not in loaded.components["tokenizer"].get_vocab()
        assert "forward" not in vars(loaded.components["text_encoder"].get_input_embeddings())


def test_one_that_nobody_wrote_is_noted(manager: Manager) -> None:
    made = make(manager, "swirl", prompt="a red heart")
    assert any("swirl did nothing" in note for note in made.recipe.notes)


@pytest.mark.parametrize(
    ("name", "sentence"), [("other", "does not fit"), ("broken", "not finite"), ("none", "Unknown Embedding")]
)
def test_what_does_not_fit_is_refused(manager: Manager, name: str, sentence: str) -> None:
    with pytest.raises(StudioError, match=sentence):
        make(manager, name)
