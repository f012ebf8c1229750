"""What lies in a diffusers folder, and whether it may be loaded. Opens JSON and file headers only; no torch, no diffusers.

Refuses code, classes of foreign libraries, parts that are missing, pickled or incomplete, and implausible configurations.
"""

import importlib.util
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.headers import read_header
from studio.manager.disk.safe_files import read_json, shown, size_of
from studio.manager.families import Family

MAX_COMPONENTS = 64
MAX_NAME = 80  # letters of a component's
MAX_LENGTH = 4096  # of a list in a configuration
MAX_DEPTH = 50
# Never loaded: they alter finished pictures.
SKIPPED = frozenset({"safety_checker", "feature_extractor", "watermarker"})
CONFIGS = ("config.json", "scheduler_config.json", "preprocessor_config.json", "guider_config.json")
WEIGHTS = re.compile(r"^(diffusion_pytorch_model|model)(\.(?P<variant>fp16|bf16))?(-\d{5}-of-\d{5})?\.safetensors$")
CODE = (".py", ".pyc", ".pyd", ".so", ".dll")
# Files that together are a tokenizer's vocabulary; any one row is enough.
VOCABULARIES = (
    ("tokenizer.json",), ("vocab.json", "merges.txt"), ("spiece.model",), ("sentencepiece.bpe.model",), ("tokenizer.model",), ("vocab.txt",),
)  # fmt: skip
OF_BYTES = frozenset({"ByT5Tokenizer"})  # tokenizers that need no vocabulary
# (part of a key, the largest plausible number); the first that fits. None known comes near any of them.
LIMITS = (
    ("theta", 10**12), ("num_train_timesteps", 1_000_000), ("layers", 256), ("blocks", 256), ("heads", 1024),
    ("channels", 16_384), ("hidden_size", 65_536), ("intermediate_size", 65_536), ("d_model", 65_536), ("d_ff", 65_536),
    ("_dim", 65_536), ("vocab_size", 2_000_000), ("max_position_embeddings", 20_000_000), ("", 10**9),
)  # fmt: skip
NUMBERS = ("scaling_factor", "shift_factor")
# A transformer's table of positions, made at loading, has the square of these; but AuraFlow's has as many as it says.
SQUARED = ("sample_size", "pos_embed_max_size")
MAX_SQUARED = 512


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
    odd = next((name for name in found if not (name.isidentifier() and name.isascii() and len(name) < MAX_NAME)), None)
    if odd is not None:
        raise ModelError(f"Its model_index.json names a component {shown(odd)!r}, which is not a valid name.")
    if len(found) > MAX_COMPONENTS:
        raise ModelError(f"Its model_index.json names {len(found):,} components (limit {MAX_COMPONENTS}).")
    return found


def component_config(folder: Path, name: str) -> dict[str, Any]:
    """The component's own configuration; {} for one that has none (a tokenizer)."""
    file = next((folder / name / file for file in CONFIGS if os.path.lexists(folder / name / file)), None)
    return read_json(file) if file else {}


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


def check_folder(
    folder: Path,
    family: Family,
    components: dict[str, tuple[str, str]],
    configs: dict[str, dict[str, Any]],
) -> None:
    """Raises ModelError with the reason where a folder may not, or cannot, be loaded."""
    not_needed = family.enlarging.not_needed if family.enlarging else frozenset[str]()
    code = next((path for path in sorted(folder.rglob("*")) if path.suffix.lower() in CODE), None)
    if code is not None:
        raise ModelError(f"It holds Python code ({shown(code.name)}), which is never run; models need none.")
    for name, (library, class_name) in components.items():
        if name in not_needed:
            continue
        if library not in ("diffusers", "transformers") and library not in _pipeline_modules():
            raise ModelError(f"Its component {name} comes from {shown(library)!r}, not from diffusers or transformers.")
        if name in SKIPPED:
            continue  # many leave it out of the download; it is never loaded
        if not os.path.isdir(folder / name):
            raise ModelError(f"Its folder {name}/ is missing.")
        if not os.access(folder / name, os.R_OK | os.X_OK):
            raise ModelError(f"Its folder {name}/ cannot be read: Permission denied.")
        check_sizes(name, configs[name])
        _check_weights(folder / name)
        if library == "transformers" and "Tokenizer" in class_name and class_name not in OF_BYTES:
            _check_vocabulary(folder / name)
    _check_needs(folder, family, components, not_needed)


def _check_needs(
    folder: Path, family: Family, components: dict[str, tuple[str, str]], not_needed: frozenset[str]
) -> None:
    """Refuse a folder whose index leaves out what its family's pipeline works with."""
    known = family.name != "generic"  # else pipelines differ in what they read the prompt and decode with
    encoders = [name for name in family.encoders if name not in not_needed] if known else []
    named = [name for name in encoders if name in components]
    needs = [family.denoiser, family.scheduler, family.decoder if known else None, *family.needs]
    needs += encoders[:1] if not named else [name.replace("text_encoder", "tokenizer") for name in named]
    missing = next((name for name in needs if name and name not in components and name not in SKIPPED), None)
    if missing is not None:
        kind = f" ({family.needs[missing]})" if family.needs.get(missing) else ""
        what = f"names no {missing}{kind}, which {family.title} needs; add its folder, and a line for it there"
        raise ModelError(f"Its model_index.json {what}.")
    for name in sorted({family.denoiser, family.decoder or "", *family.encoders} & components.keys() - not_needed):
        if not weight_files(folder / name)[0]:
            raise ModelError(f"Its {name} has no weights.")


@cache
def _pipeline_modules() -> frozenset[str]:
    """Pipelines of diffusers that bring classes of their own, by their modules' names; diffusers itself is not imported."""
    spec = importlib.util.find_spec("diffusers")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    return frozenset(path.parent.name for place in places for path in Path(place).glob("pipelines/**/__init__.py"))


def _check_weights(part: Path) -> None:
    """Refuse missing, pickled and incomplete weights."""
    files, _ = weight_files(part)
    if not files and os.path.lexists(part / "config.json"):
        pickled = any(part.glob("*.bin")) or any(part.glob("*.ckpt"))
        only = "holds only pickle files, which are not read; fetch its safetensors files"
        raise ModelError(f"Its {part.name} {only if pickled else 'has no weights'}.")
    for file in files:
        try:
            read_header(file)
        except ModelError as error:
            raise ModelError(f"{part.name}/{file.name}: {error}") from None
    for table in part.glob("*.safetensors.index.json"):
        shards = read_json(table).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(s, str) and s == Path(s).name for s in shards.values()):
            raise ModelError(f"{part.name}/{shown(table.name)} does not list the files of its weights.")
        missing = sorted(shard for shard in set(shards.values()) if not os.path.isfile(part / shard))
        if missing and files:
            raise ModelError(f"Its {part.name} is incomplete: {shown(missing[0])} is missing.")


def check_sizes(name: str, config: dict[str, Any]) -> None:
    """Bound what a configuration may make the loader allocate; that it fits the weights is checked when they are loaded."""
    _check_value(name, "", config, 0)
    if not name.startswith("transformer") or config.get("_class_name") == "AuraFlowTransformer2DModel":
        return
    for key in SQUARED:
        sides = config.get(key)
        for side in sides if isinstance(sides, list) else [sides]:
            if isinstance(side, int | float) and side > MAX_SQUARED:
                raise ModelError(f"Its {name} is set to {key} = {side:,}, which is implausible (limit {MAX_SQUARED}).")


def _check_value(name: str, key: str, value: Any, depth: int) -> None:
    limit = next(limit for part, limit in LIMITS if part in key)
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH or (isinstance(value, list) and len(value) > MAX_LENGTH):
            raise ModelError(f"Its {name} is set to {shown(key)}, which is implausible.")
        for inner, row in value.items() if isinstance(value, dict) else ((key, row) for row in value):
            _check_value(name, inner, row, depth + 1)
    elif key in NUMBERS and value is not None and not isinstance(value, int | float):
        raise ModelError(f"Its {name} is set to {key} = {shown(str(value))!r}, which is not a number.")
    elif isinstance(value, int | float) and not (abs(value) <= limit or value in (float("inf"), float("-inf"))):
        raise ModelError(f"Its {name} is set to {shown(key)} = {value:,}, which is implausible (limit {limit:,}).")


def _check_vocabulary(part: Path) -> None:
    """A tokenizer without its vocabulary loads without an error, and then drops the prompt's words."""
    if os.path.lexists(part / "tokenizer_config.json"):
        longest = read_json(part / "tokenizer_config.json").get("model_max_length")
        if longest is not None and not isinstance(longest, int | float):
            value = shown(str(longest))
            raise ModelError(f"Its {part.name} is set to model_max_length = {value!r}, which is not a number.")
    if not any(all(os.path.isfile(part / file) for file in row) for row in VOCABULARIES):
        what = "no tokenizer.json, vocab.json with merges.txt, or spiece.model"
        raise ModelError(f"Its {part.name} has no vocabulary: {what}.")
