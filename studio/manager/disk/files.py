"""Describes one weights file from its header: what it is, whether it can be used, and if not, why. No torch."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from studio.core.errors import ModelError
from studio.core.models import MODEL_KINDS, Capabilities, Defaults, ModelInfo
from studio.manager.disk.cards import Card
from studio.manager.disk.companions import needs_of
from studio.manager.disk.defaults import few_step_defaults, named_few_step
from studio.manager.disk.extra_paths import NOT_HERE, is_given_file, read_paths
from studio.manager.disk.header_view import Sniffed
from studio.manager.disk.headers import Header, read_header
from studio.manager.disk.names import shards_of
from studio.manager.disk.safe_files import readable, shown
from studio.manager.disk.sidecars import notes_beside, preview_beside
from studio.manager.disk.sniff import PREFIX, TITLES, sniff
from studio.manager.disk.training_notes import training_of, triggers_of
from studio.manager.families import FAMILIES, Family, capabilities_of

SD2_TELLTALE = PREFIX + "output_blocks.11.1.transformer_blocks.0.norm1.bias"
SD2_SPREAD = 0.09
IN_SHARDS = "It lies in several files, which are read only as part of a diffusers folder."
TRAINED = frozenset({"lora", "embedding"})  # kinds that are trained for words in the prompt
# Variants whose denoiser wants a picture beside the prompt.
UNRUN = {
    "upscale": "a latent upscaler",
    "depth": "a depth-to-image model",
    "instruct-pix2pix": "an instruction-editing model",
    "fill": "FLUX.1 Fill",
    "depth or canny": "a FLUX.1 control model",
}


def describe_file(path: Path, name: str, card: Card) -> ModelInfo:
    """The ModelInfo of a single file called `name`, whose card goes before what is read. Raises ModelError, OSError."""
    if is_given_file(path):
        raise ModelError(read_paths(path)[1] or NOT_HERE)
    header, notes = _header(path), notes_beside(path)
    found = sniff(header, name + path.suffix, notes)
    if found.family == "sd2" and not notes.predicts_v:
        found = _by_weights(found, header, path, f"{name} {notes.base}")
    if len(shards_of(path)) > 1 and not found.problem and found.kind != "text_encoder":
        found = replace(found, problem=IN_SHARDS)
    known = card.family or found.family or ""
    family = FAMILIES.get(known) if known in FAMILIES else None
    variant = card.variant if card.variant is not None else found.variant
    prediction = card.prediction or found.prediction
    blueprint = family.blueprint_of(variant) if family else None
    model = family if found.kind in MODEL_KINDS else None
    distilled = card.distilled or variant == "few-step"
    capabilities = Capabilities(tasks=(), prediction=prediction, distilled=distilled)
    if model and blueprint:
        zero = prediction != "flow_prediction" and "ztsnr" in header.tensors  # as the file's conversion will have it
        scheduler = blueprint.configs.get("scheduler", {}) | ({"rescale_betas_zero_snr": True} if zero else {})
        capabilities = capabilities_of(
            model, variant, None, prediction, scheduler, solvers=model.solvers, distilled=distilled
        )
    return ModelInfo(
        id="",
        title=readable(name),
        kind=found.kind,
        family=known or None,
        variant=variant,
        pipeline=blueprint.pipeline if blueprint else None,
        capabilities=capabilities,
        defaults=_defaults(model, variant, prediction, f"{name} {notes.base}") if model else Defaults(),
        dtype=header.dtype,
        needs=needs_of(blueprint, header.tensors) if model and blueprint else (),
        bytes=header.size,
        description=notes.description,
        triggers=triggers_of(header.metadata, notes.triggers) if found.kind in TRAINED else (),
        trained=training_of(header.metadata) if found.kind in TRAINED else "",
        preview=preview_beside(path.with_suffix("")),
        problem=_problem(found, family, card),
    )


def _header(path: Path) -> Header:
    """The header of a file, or that of all the files together that a model lies in."""
    shards = shards_of(path)
    missing = next((shard for shard in shards if not os.path.lexists(shard)), None)
    if missing is not None and len(shards) > 1:
        raise ModelError(f"The model lies in {len(shards)} files, and {shown(missing.name)} is missing.")
    headers = [read_header(shard) for shard in shards]
    tensors = {key: tensor for header in headers for key, tensor in header.tensors.items()}
    return replace(headers[0], tensors=tensors, size=sum(header.size for header in headers))


def _problem(found: Sniffed, family: Family | None, card: Card) -> str | None:
    """Why the file by itself cannot be used; None if it can, or if it is an attachment rather than a model."""
    if found.problem or found.kind not in MODEL_KINDS:
        return found.problem
    if family is None:
        return f"This is the denoiser of {TITLES.get(found.family or '', found.family)} alone: load the model from its diffusers folder."
    if found.variant in UNRUN and card.variant is None:
        return f"This is {UNRUN[found.variant]}, which needs a picture to start from."
    if family.blueprint is None:
        return f"Single files of {family.title} are not read here; fetch the folder {family.source or 'instead'}."
    return None


def _defaults(family: Family, variant: str, prediction: str, name: str) -> Defaults:
    """The family's own, but for variants that want others."""
    other: dict[str, Any] = {}
    if variant == "few-step":
        return few_step_defaults(family.defaults, family.name, name)
    if family.name == "sd2" and prediction == "epsilon":  # the base models, trained at 512
        other = {"width": 512, "height": 512}
    if family.name == "sdxl" and prediction == "v_prediction":  # trained down to zero signal, where karras has no place
        other = {"sampler": "euler", "spacing": "default", "steps": 28}
    return family.defaults.model_copy(update=other)


def _by_weights(found: Sniffed, header: Header, path: Path, name: str) -> Sniffed:
    """Stable Diffusion 2 predicts noise or v, which its header does not show; a bias of its last block does.

    That of the models trained on v spreads wider than 0.09 (ComfyUI's observation, supported_models.py, SD20).
    """
    key = SD2_TELLTALE if SD2_TELLTALE in header.tensors else SD2_TELLTALE.removeprefix(PREFIX)
    stated = "v_pred" in header.tensors or header.metadata.get("modelspec.prediction_type")
    if found.variant not in ("", "v-prediction") or stated or key not in header.tensors:
        return found
    try:
        with safe_open(path, framework="np") as file:
            spread = float(file.get_tensor(key).astype("float32").std())
    except (SafetensorError, OSError, TypeError, ValueError):
        return found  # of a dtype that numpy lacks, or a GGUF: the name has been asked
    if spread > SD2_SPREAD:
        return replace(found, prediction="v_prediction", variant="v-prediction")
    return replace(found, prediction="epsilon", variant="few-step" if named_few_step("sd2", name) else "")
