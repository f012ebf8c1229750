"""Reads a diffusers folder without loading it: its pipeline, family, sizes and defaults; or the true reason it is refused.

Beside model_index.json a folder may hold `unnoise.json`, our card, every key of it optional:

    {"title": "Tiny World", "description": "...", "shipped": true, "distilled": false,
     "defaults": {"sampler": "dpmpp_2m", "spacing": "karras", "steps": 20, "guidance_scale": 4.0}}

Its parts may override what was read: "family", "variant" and "prediction" are the user's own word, and "vae" is the id
of an autoencoder's file that is to decode in place of the model's own. "hidden" keeps a model out of lists and menus; a
shipped file that is hidden serves something else, and is no model at all.
Opens JSON and file headers only. No torch, no diffusers.
"""

import os
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import ModelError
from studio.core.models import Defaults, ModelInfo, Override, Prediction
from studio.manager.disk.few_step import few_step_defaults, named_few_step
from studio.manager.disk.folder_parts import (
    CONFIGS,
    SKIPPED,
    check_folder,
    component_config,
    components_of,
    read_json,
    weight_bytes,
    weight_files,
)
from studio.manager.disk.headers import read_header, readable, shown
from studio.manager.disk.names import folder_name
from studio.manager.disk.needed_parts import check_parts
from studio.manager.disk.own_scheduler import defaults_of, solvers_of
from studio.manager.families import Family, family_of, fitted, generic_family, refusal
from studio.manager.families.capabilities import capabilities_of

__all__ = [
    "CARD", "CONFIGS", "SKIPPED", "Card", "component_config", "components_of", "default_size", "folder_family",
    "needs_mask", "prediction_of", "preview_beside", "preview_in", "read_card", "read_folder", "read_json",
    "vae_scale", "weight_bytes", "weight_files",
]  # fmt: skip

CARD = "unnoise.json"
MAX_HALVINGS = 16
MAX_SIDE = 8192  # of a latent, in cells; a configuration that says more says nothing
FLOW_SCHEDULERS = ("FlowMatch", "SCM")
FLOW = "flow_prediction"
PREVIEW_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler", "CMStochasticIterativeScheduler")


class Card(BaseModel):
    """What a model says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str | None = None
    description: str = ""
    shipped: bool = False
    distilled: bool = False
    defaults: dict[str, Any] = {}
    family: str | None = None
    variant: str | None = None
    prediction: str | None = None
    vae: str | None = None
    hidden: bool | None = None  # kept out of lists and menus

    def words(self) -> tuple[str, ...]:
        """Which of the fields that a user may set this card sets."""
        return tuple(name for name in Override.model_fields if getattr(self, name) is not None)

    def apply(self, defaults: Defaults) -> Defaults:
        """`defaults` with the card's own in their place."""
        try:
            return Defaults(**(defaults.model_dump() | self.defaults))
        except ValidationError:
            raise ModelError(f"The defaults in its {CARD} are not understood.") from None


def read_folder(folder: Path, model_id: str, own: dict[str, Any] | None = None) -> ModelInfo:
    """The ModelInfo of a diffusers folder; a folder that cannot be used comes back with its `problem`. `own`: see
    `read_card`."""
    try:
        return _read(folder, model_id, own)
    except ModelError as error:
        problem = str(error)
    except OSError as error:
        problem = f"A part of it cannot be read: {error.strerror}."
    size = weight_bytes(folder)
    return ModelInfo(id=model_id, title=readable(folder_name(folder)), kind="diffusers", problem=problem, bytes=size)


def _read(folder: Path, model_id: str, own: dict[str, Any] | None) -> ModelInfo:
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise ModelError("Its model_index.json names no pipeline of diffusers; pipelines with own code are not run.")
    card = read_card(folder / CARD, own)
    components = components_of(index)
    configs = {name: component_config(folder, name) for name in components}
    family = fitted(folder_family(pipeline, configs), index, configs)
    spared = family.enlarging.not_needed if family.enlarging else frozenset[str]()
    check_folder(folder, {name: part for name, part in components.items() if name not in spared}, configs)
    check_parts(folder, family, components, spared)
    scheduler_class = components.get(family.scheduler, ("", ""))[1]
    scheduler = configs.get(family.scheduler, {})
    prediction = card.prediction or prediction_of(scheduler_class, scheduler)
    width, height = default_size(family, configs)
    name = folder_name(folder)
    variant = card.variant if card.variant is not None else _variant(name, family, pipeline, prediction, configs)
    few = variant == "few-step"
    told = defaults_of(family, family.defaults, scheduler_class, scheduler, prediction)
    defaults = few_step_defaults(told, family.name, name) if few else told
    return ModelInfo(
        id=model_id,
        title=readable(card.title or name),
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
            distilled=card.distilled or variant == "few-step" or scheduler_class in FEW_STEP_SCHEDULERS,
            multiple=_multiple(family, configs),
            area=(family.area * vae_scale(configs)) ** 2 if family.area else None,
        ),
        defaults=card.apply(defaults.model_copy(update={"width": width, "height": height})),
        dtype=_dtype(folder / family.denoiser),
        bytes=weight_bytes(folder),
        description=card.description,
        shipped=card.shipped,
        preview=preview_beside(folder / "preview"),
        vae=card.vae,
        overridden=card.words(),
    )


def folder_family(pipeline: str, configs: dict[str, dict[str, Any]]) -> Family:
    """The family of a folder; raises ModelError if no family, not even the generic one, can take it."""
    family = family_of(pipeline, configs) or generic_family(pipeline)
    if family is None:
        raise ModelError(
            f"{shown(pipeline)} {refusal(pipeline)}; what is used here makes an image from a prompt alone."
        )
    return family


def read_card(file: Path, own: dict[str, Any] | None = None) -> Card:
    """The card beside a model, empty where there is none; `own` are the user's words that are kept elsewhere and go before
    it. Raises ModelError if it is not understood."""
    try:
        return Card(**((read_json(file) if os.path.lexists(file) else {}) | (own or {})))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ModelError(f"Its {file.name} is not understood at {where!r}.") from None


def preview_beside(stem: Path) -> str | None:
    """The name of a preview picture: `stem` with an image's suffix, or with ".preview" before it (AUTOMATIC1111's way)."""
    return next((name for name in preview_names(stem.name) if os.path.isfile(stem.parent / name)), None)


def preview_names(stem: str) -> list[str]:
    """None for a name that is no text, which no page could ask for."""
    if readable(stem) != stem:
        return []
    return [stem + middle + suffix for middle in ("", ".preview") for suffix in PREVIEW_SUFFIXES]


def preview_in(stem: str, names: frozenset[str]) -> str | None:
    """As `preview_beside`, where the folder's names are known already."""
    return next((name for name in preview_names(stem) if name in names), None)


def prediction_of(scheduler_class: str, config: dict[str, Any]) -> str:
    """What the denoiser predicts, read from its scheduler."""
    if scheduler_class.startswith(FLOW_SCHEDULERS) or config.get("use_flow_sigmas"):
        return FLOW
    if scheduler_class == "CMStochasticIterativeScheduler":
        return "consistency"
    told = config.get("prediction_type", "epsilon")
    if told not in typing.get_args(Prediction):
        raise ModelError(f"Its scheduler's prediction_type is {shown(str(told))!r}, which is not known here.")
    return told


def vae_scale(configs: dict[str, dict[str, Any]]) -> int:
    """Pixels per latent cell along a side, as diffusers' pipelines compute it; 1 without an autoencoder."""
    for name in ("vae", "movq", "vqvae", "vqgan"):
        if name in configs:
            config = configs[name]
            if "up_down_scale_factor" in config:  # a PaellaVQModel
                return 4
            told = config.get("spatial_compression_ratio") or config.get("scale_factor_spatial")
            if isinstance(told, int) and 0 < told <= MAX_SIDE:
                return told
            blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels")
            return 2 ** (len(blocks) - 1) if isinstance(blocks, list) and len(blocks) <= MAX_HALVINGS else 8
    return 1


def default_size(family: Family, configs: dict[str, dict[str, Any]]) -> tuple[int, int]:
    """(width, height) the model was trained at: its latent size times the autoencoder's scale."""
    last = family.loops[-1].denoisers[-1] if family.fixed_size and family.loops else family.denoiser
    sample, scale = configs.get(last, {}).get("sample_size"), vae_scale(configs)
    sides: list[Any] = sample if isinstance(sample, list) else [sample, sample]
    if len(sides) == 2 and all(type(side) is int and 0 < side <= MAX_SIDE for side in sides):
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
    if needs_mask(configs):
        return "inpaint"
    if pipeline.startswith("StableDiffusionXL") and "text_encoder" not in configs:
        return "refiner"  # the only one told by its second encoder alone
    if prediction == "v_prediction":
        return "v-prediction"
    plain = family.name == "flux" and configs.get("transformer", {}).get("guidance_embeds") is False  # schnell
    return "few-step" if plain or named_few_step(family.name, name) else ""


def needs_mask(configs: dict[str, dict[str, Any]]) -> bool:
    """Inpainting U-Nets take the mask and the masked latent beside the latent: 4 + 1 + 4 channels."""
    return configs.get("unet", {}).get("in_channels") == 9


def _dtype(part: Path) -> str | None:
    files, _ = weight_files(part)
    return read_header(files[0]).dtype if files else None
