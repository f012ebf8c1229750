"""Describes one weights file from its header: what it is, whether it can be used, and if not, why. No torch.

A card may lie beside `name.safetensors` as `name.unnoise.json` (see `folders`); its word goes before ours.
"""

from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.models import Defaults, ModelInfo
from studio.manager.families import FAMILIES, Family
from studio.manager.folders import CARD, Card, preview_beside, read_card
from studio.manager.headers import read_header
from studio.manager.sniff import Sniffed, sniff

SUFFIXES = (".safetensors", ".sft", ".gguf", ".ckpt", ".pt", ".pth", ".bin")
LATENT_CELL = 8
# Variants of a U-Net that stock text-to-image pipelines do not run.
UNRUN = {
    "refiner": "the SDXL refiner works on another model's picture; use its diffusers folder",
    "upscale": "a latent upscaler, which needs a picture to start from",
    "depth": "a depth-to-image model, which needs a picture to start from",
    "instruct-pix2pix": "an instruction-editing model, which needs a picture to start from",
}


def card_of(path: Path) -> Path:
    """Where the card of a model lies: inside a folder, beside a file."""
    return path / CARD if path.is_dir() else path.with_suffix(f".{CARD}")


def describe_file(path: Path, model_id: str, own: dict[str, Any] | None = None) -> ModelInfo:
    """The ModelInfo of a single file; one that cannot be used comes back with its `problem`. `own`: see `read_card`."""
    size = path.stat().st_size if path.exists() else 0
    try:
        header = read_header(path)
        card = read_card(card_of(path), own)
        return _describe(path, model_id, sniff(header, path.name), header.dtype, size, card)
    except ModelError as error:
        return ModelInfo(id=model_id, title=path.stem, kind="unknown", bytes=size, problem=str(error))


def _describe(path: Path, model_id: str, found: Sniffed, dtype: str | None, size: int, card: Card) -> ModelInfo:
    name = card.family or found.family
    family = FAMILIES.get(name) if name and name in FAMILIES else None
    usable = found.kind == "checkpoint" and family is not None
    variant = card.variant if card.variant is not None else found.variant
    return ModelInfo(
        id=model_id,
        title=card.title or path.stem,
        kind=found.kind,
        family=name,
        variant=variant,
        pipeline=family.blueprint.pipeline if family and family.blueprint else None,
        tasks=_tasks(family, variant) if usable and family else (),
        prediction=card.prediction or found.prediction,
        solvers=family.solvers if family else None,
        multiple=family.multiple if family else LATENT_CELL,
        distilled=card.distilled or variant == "few-step",
        defaults=card.apply(_defaults(family, variant)) if usable else Defaults(),
        dtype=dtype,
        bytes=size,
        description=card.description,
        preview=preview_beside(path.with_suffix("")),
        vae=card.vae,
        overridden=card.words(),
        problem=problem_of(found, family, card),
    )


def problem_of(found: Sniffed, family: Family | None, card: Card) -> str | None:
    """Why the file cannot be used; None if it can, or if it is an attachment rather than a model."""
    if found.problem or found.kind not in ("checkpoint", "gguf"):
        return found.problem
    if found.kind == "gguf":
        return "GGUF holds a quantised denoiser alone, which needs the gguf package and its model's own folder."
    if family is None:
        return f"A {found.family} denoiser alone: load the model from its diffusers folder."
    if found.variant in UNRUN and card.variant is None:
        return f"This is {UNRUN[found.variant]}."
    if family.blueprint is None:
        return (
            f"A single file of {family.title} lacks its text encoders' files; fetch the folder {family.source} instead."
        )
    missing = [
        title for part, title in (("vae", "its VAE"), ("text_encoder", "its text encoder")) if part not in found.parts
    ]
    if missing:
        return f"Only part of a {family.title} checkpoint: {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} missing."
    return None


def _tasks(family: Family | None, variant: str) -> tuple[str, ...]:
    if family is None:
        return ()
    return ("inpaint",) if variant == "inpaint" else tuple(family.pipelines)


def _defaults(family: Family | None, variant: str) -> Defaults:
    """Few-step models want few steps and hardly any guidance."""
    defaults = family.defaults if family else Defaults()
    return defaults.model_copy(update={"steps": 6, "guidance_scale": 1.5}) if variant == "few-step" else defaults
