"""Reads a diffusers folder without loading it: its pipeline, family, sizes and defaults; or the true reason it is refused.

Beside model_index.json a folder may hold `unnoise.json`, our card, every key of it optional:

    {"title": "Tiny World", "description": "...", "shipped": true, "distilled": false,
     "defaults": {"sampler": "dpmpp_2m", "spacing": "karras", "steps": 20, "guidance_scale": 4.0}}

Its parts may override what was read: "family", "variant" and "prediction" are the user's own word, and "vae" is the id
of an autoencoder's file that is to decode in place of the model's own. "hidden" keeps a file out of the list.
Opens JSON and file headers only. No torch, no diffusers.
"""

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import ModelError
from studio.core.models import Defaults, ModelInfo, Override
from studio.core.samplers import spacing_of
from studio.manager.families import Family, family_of, generic_family
from studio.manager.headers import read_header

CARD = "unnoise.json"
MAX_JSON = 8 << 20
FLOW_SCHEDULERS = ("FlowMatch", "SCM")
FLOW = "flow_prediction"
SKIPPED = frozenset(
    {"safety_checker", "feature_extractor", "watermarker"}
)  # never loaded: they alter finished pictures
CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json")
WEIGHTS = re.compile(r"^(diffusion_pytorch_model|model)(\.(?P<variant>fp16|bf16))?(-\d{5}-of-\d{5})?\.safetensors$")
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
    hidden: bool = False  # not to be listed: a file that serves something else

    def words(self) -> tuple[str, ...]:
        """Which of the fields that a user may set this card sets."""
        return tuple(name for name in Override.model_fields if getattr(self, name) is not None)

    def apply(self, defaults: Defaults) -> Defaults:
        """`defaults` with the card's own in their place."""
        try:
            return Defaults(**(defaults.model_dump() | self.defaults))
        except ValidationError:
            raise ModelError(f"The defaults in its {CARD} are not understood.") from None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size; raises ModelError with the file's name."""
    try:
        if path.stat().st_size > MAX_JSON:
            raise ModelError(f"{path.name} is larger than any configuration.")
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise ModelError(f"{path.parent.name}/{path.name} is missing or cannot be read.") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{path.parent.name}/{path.name} is not valid JSON.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path.parent.name}/{path.name} does not hold a JSON object.")
    return value


def components_of(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """name -> (library, class) of each component that a model_index.json names and has."""
    return {
        name: (value[0], value[1])
        for name, value in index.items()
        if isinstance(value, list)
        and len(value) == 2
        and not name.startswith("_")
        and all(isinstance(part, str) for part in value)
    }


def read_folder(folder: Path, model_id: str, own: dict[str, Any] | None = None) -> ModelInfo:
    """The ModelInfo of a diffusers folder; a folder that cannot be used comes back with its `problem`. `own`: see
    `read_card`."""
    try:
        return _read(folder, model_id, own)
    except ModelError as error:
        return ModelInfo(
            id=model_id, title=folder.name, kind="diffusers", problem=str(error), bytes=weight_bytes(folder)
        )


def _read(folder: Path, model_id: str, own: dict[str, Any] | None) -> ModelInfo:
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise ModelError("Its model_index.json names no pipeline of diffusers; pipelines with own code are not run.")
    card = read_card(folder / CARD, own)
    components = components_of(index)
    configs = {name: component_config(folder, name) for name in components}
    family = folder_family(pipeline, components, configs)
    check_folder(folder, components, configs)
    scheduler_class = components.get("scheduler", ("", ""))[1]
    prediction = card.prediction or prediction_of(scheduler_class, configs.get("scheduler", {}))
    width, height = default_size(family, configs)
    return ModelInfo(
        id=model_id,
        title=card.title or folder.name,
        kind="diffusers",
        family=family.name,
        variant=card.variant if card.variant is not None else _variant(pipeline, prediction, configs),
        pipeline=pipeline,
        tasks=_tasks(family, configs),
        prediction=prediction,
        spacing=spacing_of(configs.get("scheduler", {})),
        solvers=family.solvers,
        guided=family.guided,
        prompted=family.prompted,
        prompt_help=family.prompt_help,
        negative=family.negative,
        multiple=_multiple(family, configs),
        fixed_size=family.fixed_size,
        distilled=card.distilled or scheduler_class in FEW_STEP_SCHEDULERS,
        defaults=card.apply(family.defaults.model_copy(update={"width": width, "height": height})),
        dtype=_dtype(folder / family.denoiser),
        bytes=weight_bytes(folder),
        description=card.description,
        shipped=card.shipped,
        preview=preview_beside(folder / "preview"),
        vae=card.vae,
        overridden=card.words(),
    )


def folder_family(pipeline: str, components: dict[str, tuple[str, str]], configs: dict[str, dict[str, Any]]) -> Family:
    """The family of a folder; raises ModelError if no family, not even the generic one, can take it."""
    denoiser = next((name for name in ("transformer", "unet") if name in components), "transformer")
    family = family_of(pipeline, configs) or generic_family(pipeline, denoiser)
    if family is None:
        raise ModelError(f"{pipeline[:80]} is not a pipeline that makes an image from a prompt alone.")
    return family


def read_card(file: Path, own: dict[str, Any] | None = None) -> Card:
    """The card beside a model, empty where there is none; `own` are the user's words that are kept elsewhere and go before
    it. Raises ModelError if it is not understood."""
    try:
        return Card(**((read_json(file) if file.exists() else {}) | (own or {})))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ModelError(f"Its {file.name} is not understood at {where!r}.") from None


def preview_beside(stem: Path) -> str | None:
    """The name of a preview picture: `stem` with an image's suffix, or with ".preview" before it (AUTOMATIC1111's way)."""
    return next((name for name in preview_names(stem.name) if (stem.parent / name).is_file()), None)


def preview_names(stem: str) -> list[str]:
    return [stem + middle + suffix for middle in ("", ".preview") for suffix in PREVIEW_SUFFIXES]


def preview_in(stem: str, names: frozenset[str]) -> str | None:
    """As `preview_beside`, where the folder's names are known already."""
    return next((name for name in preview_names(stem) if name in names), None)


def weight_files(part: Path) -> tuple[list[Path], str | None]:
    """The safetensors files of one component and their variant; the plain ones first, else fp16's. ([], None): none."""
    found: dict[str | None, list[Path]] = {}
    for file in sorted(part.glob("*.safetensors")):
        match = WEIGHTS.match(file.name)
        if match:
            found.setdefault(match["variant"], []).append(file)
    variant = next((name for name in (None, "fp16", "bf16") if name in found), None)
    return found.get(variant, []), variant


def check_weights(folder: Path, name: str) -> None:
    """Refuse a component whose weights are missing, pickled, incomplete or lie about themselves."""
    part = folder / name
    files, _ = weight_files(part)
    if not files and (part / "config.json").exists():
        pickled = any(part.glob("*.bin")) or any(part.glob("*.ckpt"))
        raise ModelError(
            f"Its {name} holds only pickle files, which are not read; fetch its safetensors files."
            if pickled
            else f"Its {name} has no weights."
        )
    for file in files:
        try:
            read_header(file)
        except ModelError as error:
            raise ModelError(f"{name}/{file.name}: {error}") from None
    for table in part.glob("*.safetensors.index.json"):
        named = set(read_json(table).get("weight_map", {}).values())
        missing = sorted(str(shard) for shard in named if not (part / str(shard)).is_file())
        if missing and files:
            raise ModelError(f"Its {name} is incomplete: {missing[0]} is missing.")


def component_config(folder: Path, name: str) -> dict[str, Any]:
    """The component's own configuration; {} for one that has none (a tokenizer)."""
    for file in CONFIGS:
        if (folder / name / file).exists():
            return read_json(folder / name / file)
    return {}


def check_folder(folder: Path, components: dict[str, tuple[str, str]], configs: dict[str, dict[str, Any]]) -> None:
    """Refuse a folder that carries code, names classes of other libraries, lacks a part or has absurd sizes."""
    code = next(iter(sorted(folder.rglob("*.py"))), None)
    if code is not None:
        raise ModelError(f"It holds Python code ({code.name}), which is never run; models need none.")
    for name, (library, _) in components.items():
        if "." in library or "/" in library or library.startswith("_"):
            raise ModelError(f"Its component {name} comes from {library!r}, not from diffusers or transformers.")
        if not (folder / name).is_dir():
            raise ModelError(f"Its folder {name}/ is missing.")
        check_sizes(name, configs[name])
        if name not in SKIPPED:
            check_weights(folder, name)


def check_sizes(name: str, config: dict[str, Any]) -> None:
    """Bound what a configuration may make the loader allocate."""
    for key, value in config.items():
        for number in value if isinstance(value, list) else [value]:
            limit = _limit(key)
            if isinstance(number, int) and abs(number) > limit:
                raise ModelError(f"{name}/config.json has {key} = {number:,}, past anything real (limit {limit:,}).")


def _limit(key: str) -> int:
    if "layers" in key or "blocks" in key or "heads" in key:
        return 4096
    if key.endswith(("channels", "_dim", "hidden_size", "intermediate_size")):
        return 131_072
    return 10**12


def prediction_of(scheduler_class: str, config: dict[str, Any]) -> str:
    """What the denoiser predicts, read from its scheduler."""
    if scheduler_class.startswith(FLOW_SCHEDULERS) or config.get("use_flow_sigmas"):
        return FLOW
    if scheduler_class == "CMStochasticIterativeScheduler":
        return "consistency"
    return str(config.get("prediction_type", "epsilon"))


def vae_scale(configs: dict[str, dict[str, Any]]) -> int:
    """Pixels per latent cell along a side, as diffusers' pipelines compute it; 1 without an autoencoder."""
    for name in ("vae", "movq", "vqvae"):
        if name in configs:
            config = configs[name]
            blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels") or [0] * 4
            return 2 ** (len(blocks) - 1)
    return 1


def default_size(family: Family, configs: dict[str, dict[str, Any]]) -> tuple[int, int]:
    """(width, height) the model was trained at: its latent size times the autoencoder's scale."""
    sample = configs.get(family.denoiser, {}).get("sample_size")
    scale = vae_scale(configs)
    if isinstance(sample, int):
        return sample * scale, sample * scale
    if isinstance(sample, list) and len(sample) == 2:
        return sample[1] * scale, sample[0] * scale
    return family.defaults.width, family.defaults.height


def _multiple(family: Family, configs: dict[str, dict[str, Any]]) -> int:
    """Sizes must suit the request's own rule (8), the autoencoder and the denoiser's patches or halvings."""
    if family.fixed_size:
        return 1
    denoiser = configs.get(family.denoiser, {})
    patch = denoiser.get("patch_size")
    step = vae_scale(configs) * (patch if isinstance(patch, int) else 1)
    return max(step, family.multiple)


def _variant(pipeline: str, prediction: str, configs: dict[str, dict[str, Any]]) -> str:
    if needs_mask(configs) or "Inpaint" in pipeline:
        return "inpaint"
    return "v-prediction" if prediction == "v_prediction" else ""


def needs_mask(configs: dict[str, dict[str, Any]]) -> bool:
    """Inpainting U-Nets take the mask and the masked latent beside the latent: 4 + 1 + 4 channels."""
    return configs.get("unet", {}).get("in_channels") == 9


def _tasks(family: Family, configs: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    return ("inpaint",) if needs_mask(configs) else tuple(family.pipelines)


def weight_bytes(folder: Path) -> int:
    """Bytes of the weights that a lease of the folder reads."""
    parts = [part for part in sorted(folder.glob("*/")) if part.name not in SKIPPED]
    return sum(file.stat().st_size for part in parts for file in weight_files(part)[0])


def _dtype(part: Path) -> str | None:
    files, _ = weight_files(part)
    return read_header(files[0]).dtype if files else None
