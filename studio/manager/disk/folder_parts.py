"""What lies in a diffusers folder: its configurations and weights, read with suspicion. Opens JSON and file headers only.

Refuses code, classes of foreign libraries, missing or pickled weights, and sizes that would make a loader allocate
more than any model has. No torch, no diffusers.
"""

import importlib.util
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.headers import open_file, read_header, readable, shown

MAX_JSON = 8 << 20
MAX_LISTS = 500_000  # in one JSON file; a tokenizer's merges are the most that is known
MAX_COMPONENTS = 64
MAX_LENGTH = 4096  # of a list in a configuration
MAX_DEPTH = 50
# Never loaded: they alter finished pictures.
SKIPPED = frozenset({"safety_checker", "feature_extractor", "watermarker"})
CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json", "guider_config.json")
WEIGHTS = re.compile(r"^(diffusion_pytorch_model|model)(\.(?P<variant>fp16|bf16))?(-\d{5}-of-\d{5})?\.safetensors$")
CODE = (".py", ".pyc", ".pyd", ".so", ".dll")
# (part of a key, the most that is believed of its number); the first that fits. None known comes near any of them.
LIMITS = (
    ("theta", 10**12),
    ("num_train_timesteps", 1_000_000),
    ("layers", 256),
    ("blocks", 256),
    ("heads", 1024),
    ("channels", 16_384),
    ("hidden_size", 65_536),
    ("intermediate_size", 65_536),
    ("d_model", 65_536),
    ("d_ff", 65_536),
    ("_dim", 65_536),
    ("vocab_size", 2_000_000),
    ("max_position_embeddings", 20_000_000),
    ("", 10**9),
)
# Widths that some tensor of the weights must have, or they are not these weights' configuration.
WIDTHS = (
    "block_out_channels", "hidden_size", "intermediate_size", "vocab_size", "d_model", "d_ff", "num_class_embeds",
    "num_embeds_ada_norm",
)  # fmt: skip
DEPTHS = ("layers", "layers_per_block", "transformer_layers_per_block")  # how many layers there are, or on each level
NUMBERS = ("scaling_factor", "shift_factor")
# A transformer's table of positions, made at loading, has the square of these; but AuraFlow's has as many as it says.
SQUARED = ("sample_size", "pos_embed_max_size")
MOST_SQUARED = 512


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of bounded size; raises ModelError with the file's name."""
    where = readable(f"{path.parent.name}/{path.name}")
    try:
        data = _read_bytes(path, where)
        if len(data) > MAX_JSON or data.count(b"[") + data.count(b"{") > MAX_LISTS:
            raise ModelError(f"{where} is larger than any configuration.")
        value = json.loads(data.decode("utf-8-sig"))
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode()  # half a pair of surrogates is no text
    except OSError:
        raise ModelError(f"{where} is missing or cannot be read.") from None
    except (ValueError, RecursionError):
        raise ModelError(f"{where} is not valid JSON.") from None
    if not isinstance(value, dict):
        raise ModelError(f"{where} does not hold a JSON object.")
    return value


def _read_bytes(path: Path, where: str) -> bytes:
    try:
        file = open_file(path)
    except ModelError:
        raise ModelError(f"{where} is not a file but something of its name.") from None
    with file:
        return file.read(MAX_JSON + 1)


def components_of(index: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """name -> (library, class) of each component that a model_index.json names and has. Raises ModelError."""
    found = {
        name: (value[0], value[1])
        for name, value in index.items()
        if isinstance(value, list)
        and len(value) == 2
        and not name.startswith("_")
        and all(isinstance(part, str) for part in value)
    }
    odd = next((name for name in found if not (name.isidentifier() and name.isascii())), None)
    if odd is not None:
        raise ModelError(f"Its model_index.json names a component {shown(odd)!r}, which is no name of a part.")
    if len(found) > MAX_COMPONENTS:
        raise ModelError(f"Its model_index.json names {len(found):,} components, past anything real.")
    return found


def component_config(folder: Path, name: str) -> dict[str, Any]:
    """The component's own configuration; {} for one that has none (a tokenizer)."""
    for file in CONFIGS:
        if os.path.lexists(folder / name / file):
            return read_json(folder / name / file)
    return {}


def weight_files(part: Path) -> tuple[list[Path], str | None]:
    """The safetensors files of one component and their variant; the plain ones first, else fp16's. ([], None): none."""
    found: dict[str | None, list[Path]] = {}
    for file in sorted(part.glob("*.safetensors")):
        match = WEIGHTS.match(file.name)
        if match:
            found.setdefault(match["variant"], []).append(file)
    variant = next((name for name in (None, "fp16", "bf16") if name in found), None)
    return found.get(variant, []), variant


def weight_bytes(folder: Path) -> int:
    """Bytes of the weights that a lease of the folder reads; what has gone meanwhile counts nothing."""
    parts = [part for part in sorted(folder.glob("*/")) if part.name not in SKIPPED]
    return sum(size_of(file) for part in parts for file in weight_files(part)[0])


def size_of(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def check_folder(folder: Path, components: dict[str, tuple[str, str]], configs: dict[str, dict[str, Any]]) -> None:
    """Refuse a folder that carries code, names classes of other libraries, lacks a part or has absurd sizes."""
    check_code(folder)
    for name, (library, _) in components.items():
        if library not in ("diffusers", "transformers") and library not in _pipeline_modules():
            raise ModelError(f"Its component {name} comes from {shown(library)!r}, not from diffusers or transformers.")
        if name in SKIPPED:
            continue  # many leave it out of the download; it is never loaded
        if not os.path.isdir(folder / name):
            raise ModelError(f"Its folder {name}/ is missing.")
        if not os.access(folder / name, os.R_OK | os.X_OK):
            raise ModelError(f"Its folder {name}/ cannot be read: Permission denied.")
        check_sizes(name, configs[name])
        widest, tensors = check_weights(folder, name)
        _check_widths(name, configs[name], widest)
        _check_depths(name, configs[name], tensors)


def check_code(folder: Path) -> None:
    """Refuse a folder that carries code."""
    code = next((path for path in sorted(folder.rglob("*")) if path.suffix.lower() in CODE), None)
    if code is not None:
        raise ModelError(f"It holds Python code ({shown(code.name)}), which is never run; models need none.")


@cache
def _pipeline_modules() -> frozenset[str]:
    """Pipelines of diffusers that bring classes of their own, by their modules' names; diffusers itself is not imported."""
    spec = importlib.util.find_spec("diffusers")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    return frozenset(path.parent.name for place in places for path in Path(place).glob("pipelines/**/__init__.py"))


def check_weights(folder: Path, name: str) -> tuple[int, int]:
    """The longest side of any of its tensors, and how many there are. Refuses weights that are missing, pickled, incomplete or lie about themselves."""
    part = folder / name
    files, _ = weight_files(part)
    if not files and os.path.lexists(part / "config.json"):
        pickled = any(part.glob("*.bin")) or any(part.glob("*.ckpt"))
        raise ModelError(
            f"Its {name} holds only pickle files, which are not read; fetch its safetensors files."
            if pickled
            else f"Its {name} has no weights."
        )
    widest, count = 0, 0
    for file in files:
        try:
            tensors = read_header(file).tensors.values()
            widest, count = max(widest, *(max(t.shape, default=0) for t in tensors), 0), count + len(tensors)
        except ModelError as error:
            raise ModelError(f"{name}/{file.name}: {error}") from None
    for table in part.glob("*.safetensors.index.json"):
        shards = read_json(table).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(s, str) and s == Path(s).name for s in shards.values()):
            raise ModelError(f"{name}/{shown(table.name)} does not list the files of its weights.")
        missing = sorted(shard for shard in set(shards.values()) if not os.path.isfile(part / shard))
        if missing and files:
            raise ModelError(f"Its {name} is incomplete: {shown(missing[0])} is missing.")
    return widest, count


def _check_widths(name: str, config: dict[str, Any], widest: int) -> None:
    """Refuse a configuration whose network would be wider than the weights that are there for it."""
    embeds = str(config.get("norm_type")) in ("ada_norm", "ada_norm_zero")  # else PixArt and others do nothing with it
    for key, value in config.items():
        if key == "num_embeds_ada_norm" and not embeds:
            continue
        for number in value if isinstance(value, list) else [value]:
            if widest and key.endswith(WIDTHS) and isinstance(number, int) and number > widest:
                raise ModelError(
                    f"Its {name} is set to {shown(key)} = {number:,}, but no tensor of its weights is wider than {widest:,}."
                )


def _check_depths(name: str, config: dict[str, Any], tensors: int) -> None:
    """Refuse a configuration of more layers than its tensors could make; any layer has two at least."""
    levels = config.get("block_out_channels")
    for key, value in config.items():
        counted = key.endswith(DEPTHS) and not key.startswith("max_")  # max_window_layers is a mark among them
        if not tensors or not counted or not isinstance(value, int):
            continue
        layers = value * (len(levels) if "per_block" in key and isinstance(levels, list) else 1)
        if 2 * layers > tensors:
            raise ModelError(
                f"Its {name} is set to {shown(key)} = {value:,}, but its weights hold only {tensors} tensors."
            )


def check_sizes(name: str, config: dict[str, Any]) -> None:
    """Bound what a configuration may make the loader allocate."""
    _check_sizes(name, "", config, 0)
    if not name.startswith("transformer") or config.get("_class_name") == "AuraFlowTransformer2DModel":
        return
    for key in SQUARED:
        sides = config.get(key)
        for side in sides if isinstance(sides, list) else [sides]:
            if isinstance(side, int | float) and side > MOST_SQUARED:
                raise ModelError(f"Its {name} is set to {key} = {side:,}, past anything real (limit {MOST_SQUARED}).")


def _check_sizes(name: str, key: str, value: Any, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH or (isinstance(value, list) and len(value) > MAX_LENGTH):
            raise ModelError(f"Its {name} is set to a {shown(key)} that is past anything real.")
        rows = value.items() if isinstance(value, dict) else ((key, row) for row in value)
        for inner, row in rows:
            _check_sizes(name, inner, row, depth + 1)
    elif key in NUMBERS and value is not None and not isinstance(value, int | float):
        raise ModelError(f"Its {name} is set to {key} = {shown(str(value))!r}, which is no number.")
    elif isinstance(value, int | float):
        limit = next(limit for part, limit in LIMITS if part in key)
        if not abs(value) <= limit and value not in (float("inf"), float("-inf")):
            raise ModelError(f"Its {name} is set to {shown(key)} = {value:,}, past anything real (limit {limit:,}).")
