"""What completes a denoiser that lies alone: chosen by what it is, counted in the plan, named where it is nowhere."""

from pathlib import Path

import pytest

from studio import compat
from studio.core.models import ModelInfo
from studio.manager.disk.catalog import Catalog
from studio.manager.families import FAMILIES
from studio.manager.loading import component_class
from studio.manager.memory.planning import Shape, forecast
from tests.models.original_names import flux_original
from tests.models.sparse_headers import Shapes, write_sparse

compat.prepare()
import torch  # noqa: E402
from diffusers import FluxTransformer2DModel  # noqa: E402

VAE_16: Shapes = {
    "encoder.conv_in.weight": (128, 3, 3, 3),
    "decoder.conv_in.weight": (512, 16, 3, 3),
    "decoder.conv_out.weight": (3, 128, 3, 3),
}


@pytest.fixture(scope="module")
def flux_shapes() -> Shapes:
    with torch.device("meta"):
        module = FluxTransformer2DModel(guidance_embeds=True)
    return {key: tuple(tensor.shape) for key, tensor in flux_original(module).items()}


def encoder(component: str) -> Shapes:
    blueprint = FAMILIES.get("sd3").blueprint
    assert blueprint is not None
    cls = component_class(*blueprint.parts[component])
    with torch.device("meta"):
        module = cls(cls.config_class(**blueprint.configs[component]))
        module.to("meta")
    names = {key: tensor for key, tensor in module.state_dict().items() if key != "text_projection.weight"}
    clip = cls.__name__.startswith("CLIP")
    tied = "encoder.embed_tokens.weight"
    return {
        ("text_model." if clip and not k.startswith("text_model.") else "") + k: tuple(t.shape)
        for k, t in names.items()
        if k != tied
    }


@pytest.fixture
def models(tmp_path: Path, flux_shapes: Shapes) -> Path:
    """ComfyUI's folders with files of the published sizes, which take no room."""
    write_sparse(tmp_path / "diffusion_models/flux1-dev.safetensors", flux_shapes, "BF16")
    write_sparse(tmp_path / "text_encoders/clip_l.safetensors", encoder("text_encoder"))
    write_sparse(tmp_path / "text_encoders/t5xxl_fp8_e4m3fn.safetensors", encoder("text_encoder_3"), "F8_E4M3")
    write_sparse(tmp_path / "text_encoders/t5xxl_fp16.safetensors", encoder("text_encoder_3"))
    write_sparse(tmp_path / "vae/ae.safetensors", VAE_16)
    write_sparse(tmp_path / "vae/sd3_vae.safetensors", VAE_16)
    return tmp_path


def flux_in(models: Path) -> tuple[Catalog, ModelInfo]:
    catalog = Catalog((models,), None)
    return catalog, next(info for info in catalog.models() if info.kind == "checkpoint")


def test_each_part_is_the_fullest_file_of_its_kind_and_family(models: Path) -> None:
    catalog, info = flux_in(models)
    names = {name: origin.files[0].name for name, origin in catalog.beside(info).items()}
    assert names == {
        "vae": "ae.safetensors",  # not Stable Diffusion 3's, whose header is the same
        "text_encoder": "clip_l.safetensors",
        "text_encoder_2": "t5xxl_fp16.safetensors",
    }


def test_the_plan_counts_what_comes_from_beside(models: Path) -> None:
    catalog, info = flux_in(models)
    ready = info.model_copy(update={"problem": None})  # all but the tokenizers is here
    path = catalog.path(info.id)
    assert path is not None
    told = forecast(ready, path, 64 << 30, Shape(1024, 1024), "bf16", "cpu", catalog)
    sizes = {part.key: part.bytes for stage in told.stages for part in stage.parts}
    assert round(sizes["transformer"] / 2**30, 1) == 22.2  # 11.9 billion weights of two bytes
    assert round(sizes["text_encoder_2"] / 2**30, 1) == 8.9
    assert [stage.name for stage in told.stages] == ["encode", "denoise", "decode"]


def test_only_what_is_missing_is_asked_for(models: Path) -> None:
    _, info = flux_in(models)
    assert info.problem == (
        "The file lacks the tokenizer of its text encoder, and nothing else here has it. Fetch tokenizer/, tokenizer_2/ "
        "and model_index.json of black-forest-labs/FLUX.1-dev into models/FLUX.1-dev/."
    )
