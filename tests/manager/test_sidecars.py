"""What lies beside a file tells what its header cannot: a base model, an autoencoder's scale, a method, words to show."""

import json
from pathlib import Path
from typing import Any

import pytest

from studio.core.models import ModelInfo
from studio.manager.disk.attachments import family_of_base
from studio.manager.disk.catalog import Catalog
from tests.models import published_layouts as published
from tests.models.sparse_headers import CASES, write_sparse

# As Civitai calls them, with what that is; those of no family here are None.
BASES = {
    "SD 1.4": "sd1", "SD 1.5": "sd1", "SD 1.5 LCM": "sd1", "SD 1.5 Hyper": "sd1", "SD 2.0": "sd2", "SD 2.1 768": "sd2",
    "SDXL 0.9": "sdxl", "SDXL 1.0": "sdxl", "SDXL Turbo": "sdxl", "SDXL Lightning": "sdxl", "Pony": "sdxl",
    "Illustrious": "sdxl", "NoobAI": "sdxl", "SD 3": "sd3", "SD 3.5": "sd3", "SD 3.5 Large Turbo": "sd3",
    "Flux.1 D": "flux", "Flux.1 S": "flux", "Flux.1 Kontext": "flux", "Flux.2 D": "flux2", "Pony V7": "auraflow",
    "AuraFlow": "auraflow", "PixArt E": "pixart", "Hunyuan 1": "hunyuan_dit", "Lumina": "lumina2", "Qwen": "qwen_image",
    "ZImageTurbo": "z_image", "Chroma": "chroma", "HiDream": "hidream", "Wan Video 2.2 T2V-A14B": "wan", "LTXV": "ltx",
    "SD1": "sd1", "SD2": "sd2", "SDXL": "sdxl", "SD3": "sd3",
    "Other": None, "Unknown": None, "Kolors": None, "SVD XT": None, "Anima": None, "": None,
}  # fmt: skip


def only(folder: Path) -> ModelInfo:
    (info,) = Catalog((folder,), None).models()
    return info


def beside(file: Path, suffix: str, noted: Any) -> None:
    file.with_name(file.stem + suffix).write_text(noted if isinstance(noted, str) else json.dumps(noted))


def test_base_models_go_by_the_names_of_the_site() -> None:
    assert {base: family_of_base(base) for base in BASES} == BASES


def test_a_configuration_beside_a_checkpoint_says_what_it_predicts(tmp_path: Path) -> None:
    for case, text, prediction in (
        ("SDXL", 'model:\n  params:\n    parameterization: "v"\n', "v_prediction"),
        ("SD 1.5", "model:\r\n  params:\r\n    parameterization: v  # as trained\r\n", "v_prediction"),
        ("SDXL", "model:\n  params:\n    # parameterization: v\n    parameterization: eps\n", "epsilon"),
        ("SDXL", "parameterization: velvet", "epsilon"),
        ("FLUX dev", "parameterization: v", "flow_prediction"),
        ("SDXL inpaint", "parameterization: v", "epsilon"),
    ):
        file = write_sparse(tmp_path / f"{case} {prediction} {len(text)}" / "x.safetensors", CASES[case][1])
        beside(file, ".yaml", text)
        assert only(file.parent).capabilities.prediction == prediction, (case, text)


@pytest.mark.parametrize(
    ("suffix", "noted"),
    [
        (".civitai.info", {"baseModel": "Pony", "name": "v6"}),
        (".json", {"sd version": "SDXL", "description": ""}),
    ],
)
def test_a_lora_that_its_header_does_not_tell(suffix: str, noted: dict[str, Any], tmp_path: Path) -> None:
    file = write_sparse(tmp_path / "m/hair.safetensors", CASES["LoKr"][1])
    catalog = Catalog((tmp_path / "m",), tmp_path / "index.db")
    assert [(info.kind, info.family) for info in catalog.models()] == [("lora", None)]
    beside(file, suffix, noted)
    assert [(info.kind, info.family) for info in catalog.models()] == [("lora", "sdxl")], "seen without a restart"


def test_what_the_header_tells_is_never_overruled(tmp_path: Path) -> None:
    file = write_sparse(tmp_path / "a.safetensors", CASES["kohya LoRA"][1])
    beside(file, ".civitai.info", {"baseModel": "Flux.1 D"})
    assert only(tmp_path).family == "sd1"
    file.unlink()
    write_sparse(file, CASES["SDXL v-pred"][1])
    beside(file, ".civitai.info", {"baseModel": "SDXL Lightning"})
    assert (only(tmp_path).family, only(tmp_path).variant) == ("sdxl", "v-prediction")


@pytest.mark.parametrize(
    "noted", ["[]", "{", '{"baseModel": 3}', '{"baseModel": "Other"}', '{"baseModel": ["SDXL"]}', ""]
)
def test_a_sidecar_that_is_not_understood_says_nothing(noted: str, tmp_path: Path) -> None:
    beside(write_sparse(tmp_path / "hair.safetensors", CASES["LoKr"][1]), ".civitai.info", noted)
    assert (only(tmp_path).family, only(tmp_path).problem) == (None, None)


def test_a_checkpoint_of_few_steps_whose_name_does_not_say_so(tmp_path: Path) -> None:
    file = write_sparse(tmp_path / "dreamy_v2.safetensors", CASES["SDXL"][1])
    plain = only(tmp_path)
    assert plain.variant == ""
    beside(file, ".civitai.info", {"baseModel": "SDXL Lightning", "model": {"name": "Dreamy"}, "name": "v2"})
    info = only(tmp_path)
    assert (info.title, info.variant, info.capabilities.distilled) == ("dreamy_v2", "few-step", True)
    assert info.defaults.steps < plain.defaults.steps
    assert info.description == "Dreamy v2"


# (path of the VAE, channels, what lies beside it) -> its family
VAES: dict[str, tuple[str, int, dict[str, Any], str]] = {
    "by its name": ("vae/sdxl_vae.safetensors", 4, {}, "sdxl"),
    "nothing tells": ("vae/good.safetensors", 4, {}, "sd1"),
    "by the site": ("vae/good.safetensors", 4, {".civitai.info": {"baseModel": "Illustrious"}}, "sdxl"),
    "by a base of another shape": ("vae/good.safetensors", 4, {".civitai.info": {"baseModel": "SD 3.5"}}, "sd1"),
    "by the folder": ("sdxl/vae/good.safetensors", 4, {}, "sdxl"),
    "by the folder itself": ("VAE/SDXL/good.safetensors", 4, {}, "sdxl"),
    "by a folder of another shape": ("sdxl/vae/good.safetensors", 16, {}, "flux"),
    "by a folder that only sounds so": ("pixls/good.safetensors", 4, {}, "sd1"),
    "16 channels": ("vae/ae.safetensors", 16, {}, "flux"),
    "16 channels by the site": ("vae/good.safetensors", 16, {".civitai.info": {"baseModel": "SD 3.5 Large"}}, "sd3"),
    "16 channels by the folder": ("vae/SD3.5/good.safetensors", 16, {}, "sd3"),
    "diffusers' folder by its name": ("vae/sdxl-vae-fp16-fix/diffusion_pytorch_model.safetensors", 4, {}, "sdxl"),
}  # fmt: skip


@pytest.mark.parametrize("case", VAES)
def test_autoencoders_of_one_shape_are_distinguished(case: str, tmp_path: Path) -> None:
    path, channels, written, family = VAES[case]
    file = write_sparse(tmp_path / "m" / path, published.ldm_vae(channels, quant=channels == 4))
    for name, noted in written.items():
        beside(file, name, noted)
    info = only(tmp_path / "m")
    assert (info.kind, info.family, info.problem) == ("vae", family, None)
