"""Describes what lies at a path, a diffusers folder or a weights file, as a ModelInfo. Never raises, and never loads; no torch.

The order of precedence is: the user's own settings, the card beside the model, what its files say of themselves.
"""

import hashlib
import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from studio.core.errors import ModelError
from studio.core.models import MODEL_KINDS, Capabilities, Defaults, ModelInfo
from studio.manager.disk.cards import Card, card_of, read_card
from studio.manager.disk.companions import needs_of
from studio.manager.disk.defaults import few_step_defaults, named_few_step
from studio.manager.disk.extra_paths import read_paths
from studio.manager.disk.folder_parts import weight_bytes
from studio.manager.disk.folders import describe_folder
from studio.manager.disk.header_view import Sniffed
from studio.manager.disk.headers import Header, read_header
from studio.manager.disk.notes import notes_beside, preview_beside, training_of, triggers_of
from studio.manager.disk.safe_files import readable, shown, size_of
from studio.manager.disk.sniff import PREFIX, TITLES, sniff
from studio.manager.disk.walk import file_name, folder_name, shards_of
from studio.manager.families import FAMILIES, Family, capabilities_of

MAX_ID = 200  # a request takes names of 300
# The libraries that read weights take no bytes for a path.
NO_TEXT = "Its name, or its folder's, holds bytes that are not text, so it cannot be opened; rename it."
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

log = logging.getLogger(__name__)


def describe_path(root: Path, path: Path, own: dict[str, Any] | None = None) -> ModelInfo:
    """What lies at `path`, its id being the path below `root`; `own` are the user's settings for it."""
    name = path.relative_to(root) if path != root else Path(path.name)  # a models folder may be a model itself
    return describe(path, _id_of(name if os.path.isdir(path) else name.with_suffix("")), own)


def describe(path: Path, model_id: str, own: dict[str, Any] | None = None) -> ModelInfo:
    """Whatever it holds, the others are listed: what no rule foresaw is logged, and is the problem of this one."""
    folder, card = os.path.isdir(path), Card(hidden=(own or {}).get("hidden"))
    name = folder_name(path) if folder else file_name(path, depth=model_id.count("/"))
    problem: str | None
    try:
        card = read_card(card_of(path), own)
        info = card.applied(describe_folder(path, name, card) if folder else describe_file(path, name, card))
    except ModelError as error:
        problem = str(error)
    except OSError as error:
        problem = f"A part of it cannot be read: {error.strerror}."
    except Exception as error:
        problem = unforeseen(path, error)
    else:
        problem = info.problem or (None if os.fsencode(path) == str(path).encode(errors="replace") else NO_TEXT)
        return info.model_copy(update={"id": model_id, "problem": problem})
    try:
        size = weight_bytes(path) if folder else sum(map(size_of, shards_of(path)))
    except OSError:
        size = 0
    kind = "diffusers" if folder else "unknown"
    return ModelInfo(
        id=model_id, title=readable(name), kind=kind, bytes=size, hidden=bool(card.hidden), problem=problem
    )


def unforeseen(path: Path, error: Exception) -> str:
    """The problem of a model at which our own code failed; the log has the rest."""
    log.error("%s could not be described.", readable(path.name), exc_info=error)
    return f"It could not be described ({type(error).__name__}); the log says more."


def _id_of(name: Path) -> str:
    """A path as an id: text that can be stored, shown and typed; one too long for a request keeps its end, and a hash."""
    text = readable(name.as_posix())
    if len(text) <= MAX_ID:
        return text
    return f"~{hashlib.sha256(text.encode()).hexdigest()[:8]}~{text[-MAX_ID:]}"


# ---- single files


def describe_file(path: Path, name: str, card: Card) -> ModelInfo:
    """The ModelInfo of a single file called `name`, whose card goes before what is read. Raises ModelError, OSError."""
    if path.suffix.lower() in (".yaml", ".yml"):
        raise ModelError(read_paths(path)[1] or "It names folders of models elsewhere.")
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
