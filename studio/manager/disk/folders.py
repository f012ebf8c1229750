"""Reads a diffusers folder without loading it: its pipeline, family, sizes and defaults; or the true reason it is refused.

Opens JSON and file headers only. No torch, no diffusers.
"""

import typing
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.models import ModelInfo, Prediction
from studio.core.request import MAX_SIDE, GenerationRequest
from studio.manager.disk.cards import Card
from studio.manager.disk.defaults import FLOW, defaults_of, few_step_defaults, named_few_step, solvers_of
from studio.manager.disk.folder_parts import check_folder, component_config, components_of, weight_bytes, weight_files
from studio.manager.disk.headers import read_header
from studio.manager.disk.notes import preview_beside
from studio.manager.disk.safe_files import read_json, readable, shown
from studio.manager.families import Family, capabilities_of, family_for, family_of, fitted, generic_family, refusal
from studio.manager.families.base import INDEX

MAX_HALVINGS = 16
MAX_CELLS = 8192  # a side of a latent; a configuration that says more is ignored
FLOW_SCHEDULERS = ("FlowMatch", "SCM")
FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler", "CMStochasticIterativeScheduler")
MASK_CHANNELS = 9  # inpainting U-Nets take the mask and the masked latent beside the latent: 4 + 1 + 4


def describe_folder(folder: Path, name: str, card: Card) -> ModelInfo:
    """The ModelInfo of a diffusers folder called `name`, whose card goes before what is read. Raises ModelError with the
    reason where it cannot be used, OSError."""
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise ModelError("Its model_index.json names no pipeline of diffusers; pipelines with own code are not run.")
    components = components_of(index)
    configs = {name: component_config(folder, name) for name in components}
    family = fitted(folder_family(pipeline, configs), index, configs)
    check_folder(folder, family, components, configs)
    scheduler_class, scheduler = components.get(family.scheduler, ("", ""))[1], configs.get(family.scheduler, {})
    prediction = card.prediction or prediction_of(scheduler_class, scheduler)
    variant = card.variant if card.variant is not None else _variant(name, family, pipeline, prediction, configs)
    few_step = variant == "few-step"
    defaults = defaults_of(family, scheduler_class, scheduler, prediction)
    defaults = few_step_defaults(defaults, family.name, name) if few_step else defaults
    width, height = default_size(family, configs)
    denoiser, _ = weight_files(folder / family.denoiser)
    return ModelInfo(
        id="",
        title=readable(name),
        kind="upscaler" if family.enlarging else "diffusers",
        family=family.name,
        variant=variant,
        pipeline=pipeline,
        capabilities=capabilities_of(
            family,
            variant,
            pipeline,
            prediction,
            scheduler,
            solvers=solvers_of(family, scheduler_class, scheduler, prediction),
            distilled=card.distilled or few_step or scheduler_class in FEW_STEP_SCHEDULERS,
            multiple=_multiple(family, configs),
            area=(family.area * vae_scale(configs)) ** 2 if family.area else None,
        ),
        defaults=defaults.model_copy(update={"width": width, "height": height}),
        dtype=read_header(denoiser[0]).dtype if denoiser else None,
        bytes=weight_bytes(folder),
        preview=preview_beside(folder / "preview"),
    )


def folder_family(pipeline: str, configs: dict[str, dict[str, Any]]) -> Family:
    """The family of a folder; raises ModelError if no family, not even the generic one, can take it."""
    family = family_of(pipeline, configs) or generic_family(pipeline)
    if family is None:
        used = "what is used here makes an image from a prompt alone"
        raise ModelError(f"{shown(pipeline)} {refusal(pipeline)}; {used}.")
    return family


def prediction_of(scheduler_class: str, config: dict[str, Any]) -> str:
    """What the denoiser predicts, read from its scheduler."""
    if scheduler_class.startswith(FLOW_SCHEDULERS) or config.get("use_flow_sigmas"):
        return FLOW
    if scheduler_class == "CMStochasticIterativeScheduler":
        return "consistency"
    stated = config.get("prediction_type", "epsilon")
    if stated not in typing.get_args(Prediction):
        raise ModelError(f"Its scheduler's prediction_type is {shown(str(stated))!r}, which is not known.")
    return stated


def vae_scale(configs: dict[str, dict[str, Any]]) -> int:
    """Pixels per latent cell along a side, as diffusers' pipelines compute it; 1 without an autoencoder."""
    for name in ("vae", "movq", "vqvae", "vqgan"):
        if name in configs:
            config = configs[name]
            if "up_down_scale_factor" in config:  # a PaellaVQModel
                return 4
            ratio = config.get("spatial_compression_ratio") or config.get("scale_factor_spatial")
            if isinstance(ratio, int) and 0 < ratio <= MAX_CELLS:
                return ratio
            blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels")
            return 2 ** (len(blocks) - 1) if isinstance(blocks, list) and 0 < len(blocks) <= MAX_HALVINGS else 8
    return 1


def default_size(family: Family, configs: dict[str, dict[str, Any]]) -> tuple[int, int]:
    """(width, height) the model was trained at: its latent size times the autoencoder's scale."""
    last = family.loops[-1].denoisers[-1] if family.fixed_size and family.loops else family.denoiser
    sample, scale = configs.get(last, {}).get("sample_size"), vae_scale(configs)
    sides: list[Any] = sample if isinstance(sample, list) else [sample, sample]
    if len(sides) == 2 and all(type(side) is int and 0 < side * scale <= MAX_SIDE for side in sides):
        return sides[1] * scale, sides[0] * scale
    return family.defaults.width, family.defaults.height


def _multiple(family: Family, configs: dict[str, dict[str, Any]]) -> int:
    """Sizes must suit the request's own rule (8), the autoencoder and the denoiser's patches or halvings."""
    if family.fixed_size:
        return 1
    patch, scale = configs.get(family.denoiser, {}).get("patch_size"), vae_scale(configs)
    cells = max(family.cells, patch if isinstance(patch, int) else 1)
    step = scale * (scale if family.decoder == "movq" else cells)
    return max(step, family.multiple)


def _variant(name: str, family: Family, pipeline: str, prediction: str, configs: dict[str, dict[str, Any]]) -> str:
    if configs.get("unet", {}).get("in_channels") == MASK_CHANNELS:
        return "inpaint"
    if pipeline.startswith("StableDiffusionXL") and "text_encoder" not in configs:
        return "refiner"  # the only one with its second encoder alone
    if prediction == "v_prediction":
        return "v-prediction"
    plain = family.name == "flux" and configs.get("transformer", {}).get("guidance_embeds") is False  # schnell
    return "few-step" if plain or named_few_step(family.name, name) else ""


def check_request(request: GenerationRequest, info: ModelInfo, path: Path) -> None:
    """Raises InvalidRequest, with its field, for what the model's family would refuse of a resolved request once it is
    loaded, as far as the configurations of its folder show."""
    if path.is_dir():
        family = family_for(info)
        configs = {
            family.denoiser: component_config(path, family.denoiser),
            INDEX: read_json(path / "model_index.json"),
        }
        family.check(request, info.pipeline or "", configs)
