"""Reads a diffusers folder without loading it: its pipeline, family, sizes and defaults; or the true reason it is refused.

Beside model_index.json a folder may hold `unnoise.json`, our card, every key of it optional:

    {"title": "Tiny World", "description": "...", "shipped": true, "distilled": false,
     "defaults": {"sampler": "dpmpp_2m", "spacing": "karras", "steps": 20, "guidance_scale": 4.0}}

Opens JSON and file headers only. No torch, no diffusers.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import ModelError
from studio.core.models import Defaults, ModelInfo
from studio.manager.families import Family, family_of

CARD = "unnoise.json"
LIBRARIES = frozenset({"diffusers", "transformers"})
MAX_JSON = 8 << 20
FLOW_SCHEDULERS = ("FlowMatch", "SCM")
FEW_STEP_SCHEDULERS = ("LCMScheduler", "TCDScheduler", "CMStochasticIterativeScheduler")


class Card(BaseModel):
    """What a model says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str | None = None
    description: str = ""
    shipped: bool = False
    distilled: bool = False
    defaults: dict[str, Any] = {}


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


def read_folder(folder: Path, model_id: str) -> ModelInfo:
    """The ModelInfo of a diffusers folder; a folder that cannot be used comes back with its `problem`."""
    try:
        return _read(folder, model_id)
    except ModelError as error:
        return ModelInfo(
            id=model_id, title=folder.name, kind="diffusers", problem=str(error), bytes=weight_bytes(folder)
        )


def _read(folder: Path, model_id: str) -> ModelInfo:
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise ModelError("Its model_index.json names no pipeline of diffusers; pipelines with own code are not run.")
    family = family_of(pipeline)
    if family is None:
        raise ModelError(f"No family here covers {pipeline}.")
    card = _card(folder)
    components = components_of(index)
    configs = {name: _config(folder, name) for name in components}
    check_folder(folder, components, configs)
    scheduler = configs.get("scheduler", {})
    width, height = default_size(family, configs)
    defaults = family.defaults.model_dump() | {"width": width, "height": height} | card.defaults
    try:
        chosen = Defaults(**defaults)
    except ValidationError:
        raise ModelError(f"The defaults in its {CARD} are not understood.") from None
    return ModelInfo(
        id=model_id,
        title=card.title or folder.name,
        kind="diffusers",
        family=family.name,
        variant=_variant(pipeline, configs),
        pipeline=pipeline,
        tasks=tuple(family.pipelines),
        prediction=prediction_of(components.get("scheduler", ("", ""))[1], scheduler),
        solvers=family.solvers,
        guided=family.guided,
        prompted=family.prompted,
        multiple=_multiple(family, configs),
        fixed_size=family.fixed_size,
        distilled=card.distilled or components.get("scheduler", ("", ""))[1] in FEW_STEP_SCHEDULERS,
        defaults=chosen,
        dtype=None,
        bytes=weight_bytes(folder),
        description=card.description,
        shipped=card.shipped,
    )


def _card(folder: Path) -> Card:
    if not (folder / CARD).exists():
        return Card()
    try:
        return Card(**read_json(folder / CARD))
    except ValidationError as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise ModelError(f"{CARD} is not understood at {where!r}.") from None


def _config(folder: Path, name: str) -> dict[str, Any]:
    """The component's own configuration; {} for one that has none (a tokenizer)."""
    for file in ("config.json", "scheduler_config.json", "preprocessor_config.json"):
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
        return "flow_prediction"
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


def _variant(pipeline: str, configs: dict[str, dict[str, Any]]) -> str:
    channels = configs.get("unet", {}).get("in_channels")
    if channels == 9 or "Inpaint" in pipeline:
        return "inpaint"
    return "v-prediction" if configs.get("scheduler", {}).get("prediction_type") == "v_prediction" else ""


def weight_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors") if path.is_file())
