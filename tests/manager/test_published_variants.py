"""What is assumed of a checkpoint that does not say: few steps by its name, noise or v by a bias, sizes by what it was trained at."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from studio.core.models import ModelInfo
from studio.core.options import resolve
from studio.core.request import GenerationRequest
from studio.manager.disk.describe import SD2_TELLTALE, describe
from tests.models import tiny_models
from tests.models.sparse_headers import flux, sd3, unet, write_sparse, xl

# file name -> sampler, spacing, steps, guidance, width
FEW = {
    "sd_xl_turbo_1.0_fp16": ("euler_a", "trailing", 4, 1.0, 512),
    "sdxl_lightning_4step": ("euler", "trailing", 4, 1.0, 1024),
    "sdxl_lightning_8step": ("euler", "trailing", 8, 1.0, 1024),
    "Hyper-SDXL-1step-Unet-Comfyui": ("ddim", "trailing", 1, 1.0, 1024),
    "Hyper-SD15-8steps": ("ddim", "trailing", 8, 1.0, 1024),
    "dreamshaperXL_v21TurboDPMSDE": ("dpmpp_sde", "karras", 6, 2.0, 1024),
    "juggernautXL_v9Rdphoto2Lightning": ("dpmpp_sde", "karras", 6, 2.0, 1024),
    "some_model_DMD2": ("lcm", "default", 4, 1.0, 1024),
    "pixelwave-LCM": ("lcm", "default", 6, 1.5, 1024),
}


@pytest.mark.parametrize("name", FEW)
def test_a_few_step_sdxl_starts_with_its_publisher_s_settings(name: str, tmp_path: Path) -> None:
    info = describe(write_sparse(tmp_path / f"{name}.safetensors", xl()), name)
    d = info.defaults
    assert (info.variant, info.capabilities.distilled) == ("few-step", True)
    assert (d.sampler, d.spacing, d.steps, d.guidance_scale, d.width) == FEW[name]
    runs_as_it_is(info)


@pytest.mark.parametrize(
    ("name", "shapes", "steps", "guidance"),
    [
        ("flux1-schnell", flux(guided=False), 4, 1.0),
        ("sd3.5_large_turbo", sd3(large=True), 4, 1.0),
        ("flux1-dev", flux(), 28, 3.5),
        ("sd3.5_large", sd3(large=True), 28, 5.0),
    ],
)
def test_a_flow_model_that_is_distilled_needs_no_guidance(
    name: str, shapes: dict[str, tuple[int, ...]], steps: int, guidance: float, tmp_path: Path
) -> None:
    info = describe(write_sparse(tmp_path / f"{name}.safetensors", shapes), name)
    assert (info.defaults.steps, info.defaults.guidance_scale) == (steps, guidance)
    runs_as_it_is(info)


@pytest.mark.parametrize(
    ("spread", "name", "prediction", "side"),
    [
        (0.02, "mystery", "epsilon", 512),
        (0.2, "mystery", "v_prediction", 768),
        (0.2, "v2-1_512-ema-pruned", "v_prediction", 768),  # the weights are asked before the name
        (0.02, "wd-1-5-768", "epsilon", 512),
    ],
)
def test_stable_diffusion_2_is_told_by_a_bias_what_it_predicts(
    spread: float, name: str, prediction: str, side: int, tmp_path: Path
) -> None:
    tensors = {key: np.zeros(shape, np.float16) for key, shape in unet(1024).items()}
    tensors[SD2_TELLTALE] = (np.random.default_rng(0).standard_normal(320) * spread).astype(np.float16)
    save_file(tensors, tmp_path / f"{name}.safetensors")
    info = describe(tmp_path / f"{name}.safetensors", name)
    assert (info.family, info.capabilities.prediction, info.defaults.width) == ("sd2", prediction, side)


def test_sd_turbo_predicts_noise_in_few_steps(tmp_path: Path) -> None:
    info = describe(write_sparse(tmp_path / "sd_turbo.safetensors", unet(1024)), "sd_turbo")
    assert (info.capabilities.prediction, info.variant, info.defaults.width, info.defaults.steps) == (
        "epsilon",
        "few-step",
        512,
        4,
    )
    runs_as_it_is(info)


def test_a_turbo_folder_is_told_by_its_name_and_schnell_by_its_configuration(tmp_path: Path) -> None:
    tiny_models.stable_diffusion_xl(tmp_path / "sdxl-turbo")
    tiny_models.flux(tmp_path / "distilled-flow", guided=False)
    turbo, schnell = (describe(tmp_path / name, name) for name in ("sdxl-turbo", "distilled-flow"))
    assert (turbo.variant, turbo.capabilities.distilled, turbo.defaults.sampler, turbo.defaults.steps) == (
        "few-step", True, "euler_a", 4,
    )  # fmt: skip
    assert turbo.defaults.width == 32  # its own size goes before the method's
    assert (schnell.variant, schnell.defaults.steps, schnell.defaults.guidance_scale) == ("few-step", 4, 1.0)
    runs_as_it_is(turbo)
    runs_as_it_is(schnell)


def test_the_person_s_word_on_what_it_predicts_goes_before_all(tmp_path: Path) -> None:
    tensors = {key: np.zeros(shape, np.float16) for key, shape in unet(1024).items()}
    tensors[SD2_TELLTALE] = np.zeros(320, np.float16)
    save_file(tensors, tmp_path / "m.safetensors")
    info = describe(tmp_path / "m.safetensors", "m", {"prediction": "v_prediction"})
    assert (info.capabilities.prediction, info.defaults.width) == ("v_prediction", 768)


def test_a_v_predicting_sdxl_starts_without_karras(tmp_path: Path) -> None:
    info = describe(write_sparse(tmp_path / "noob.safetensors", xl() | {"v_pred": (0,), "ztsnr": (0,)}), "noob")
    assert (info.capabilities.prediction, info.defaults.sampler, info.defaults.spacing) == (
        "v_prediction",
        "euler",
        "default",
    )
    runs_as_it_is(info)


def runs_as_it_is(info: ModelInfo) -> None:
    """The defaults are legal for the model."""
    d = info.defaults
    whole = info.model_copy(update={"problem": None})
    request = GenerationRequest(
        model=info.id, prompt="x", sampler=d.sampler, spacing=d.spacing, steps=d.steps, guidance_scale=d.guidance_scale
    )
    assert resolve(request, whole).sampler == d.sampler
