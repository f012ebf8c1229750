"""What other programs wrote beside a model's file, read for what its header does not tell: words on it, and its base model.

    NAME.json            AUTOMATIC1111's notes: "description", "activation text", "sd version"
    NAME.civitai.info    Civitai helpers', the site's own answer: "name", "trainedWords", "baseModel"
    NAME.cm-info.json    Stability Matrix': "ModelName", "TrainedWords", "BaseModel"
    NAME.metadata.json   ComfyUI's LoRA manager: "model_name", "base_model", and the site's answer under "civitai"
    NAME.yaml            CompVis' configuration, as AUTOMATIC1111 wants it beside a model that predicts v: "parameterization"
    config.json          diffusers', beside weights that it named: an autoencoder's "scaling_factor"

Only words and numbers are taken; one that is not understood says nothing. What a header tells is never overruled.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.manager.disk.checkpoints import FEW_STEP
from studio.manager.disk.folder_parts import read_json
from studio.manager.disk.header_view import Sniffed
from studio.manager.disk.headers import open_file, readable
from studio.manager.disk.names import LIBRARY_NAMES

SUFFIXES = (".json", ".civitai.info", ".cm-info.json", ".metadata.json")
CONFIG = "config.json"
YAML = ".yaml"
PREDICTS_V = re.compile(rb"^[ \t]*parameterization:[ \t]*[\"']?v[\"']?[ \t]*(#.*)?\r?$", re.MULTILINE)
MOST_YAML = 64 << 10  # bytes
LONGEST = 500
BASE_KEYS = ("baseModel", "BaseModel", "base_model", "sd version")
NAME_KEYS = ("ModelName", "VersionName", "model_name")
# (how Civitai, and AUTOMATIC1111 after it, call a base model, its family); the first that fits
BASES = (
    (r"SD ?1", "sd1"), (r"SD ?2", "sd2"), (r"SD ?3", "sd3"), (r"SDXL|Illustrious|NoobAI|Pony(?! V7)", "sdxl"),
    (r"Flux\.?2", "flux2"), (r"Flux", "flux"), (r"Pony V7|AuraFlow", "auraflow"), (r"PixArt", "pixart"),
    (r"Hunyuan 1", "hunyuan_dit"), (r"Hunyuan Video", "hunyuan_video"), (r"Lumina", "lumina2"), (r"Qwen 2\.1", "qwen_image21"),
    (r"Qwen", "qwen_image"), (r"Z-?Image", "z_image"), (r"Chroma", "chroma"), (r"HiDream", "hidream"), (r"Krea 2", "krea2"),
    (r"Wan", "wan"), (r"LTXV ?2", "ltx2"), (r"LTXV", "ltx"), (r"Mochi", "mochi"), (r"Stable Cascade", "stable_cascade"),
)  # fmt: skip
# Scale -> family, of autoencoders that differ in it alone; the first is what their shape is taken for.
SCALES = ({0.18215: "sd1", 0.13025: "sdxl"}, {0.3611: "flux", 1.5305: "sd3"})
SORTED = ((r"(?<![a-z])(sd[-_ ]?)?xl(?![a-z])", "sdxl"), (r"(?<![a-z])sd[-_ ]?3", "sd3"))  # what people call folders
UNETS = frozenset({"sd1", "sd2", "sdxl"})
HAS_FAMILY = frozenset({"lora", "embedding", "controlnet", "t2i_adapter", "ip_adapter"})
DISTILLED = frozenset({"sd1", "sd2", "sdxl", "sd3"})


def sidecars_in(stem: str, names: frozenset[str]) -> list[str]:
    """Those of a file's sidecars that are among the `names` of its folder."""
    found = [stem + suffix for suffix in (*SUFFIXES, YAML) if stem + suffix in names]
    return [*found, CONFIG] if CONFIG in names and LIBRARY_NAMES.fullmatch(stem) else found


def described_beside(file: Path) -> str:
    """A line or two on the model, from what lies beside its file; empty if nothing says any."""
    told = [words for suffix in SUFFIXES for words in _words(_read(file.with_name(file.stem + suffix)))]
    lines = dict.fromkeys(readable(" ".join(words.split()))[:LONGEST] for words in told)
    return "\n".join(lines)


def base_beside(file: Path) -> str:
    """The base model that a sidecar names, as Civitai calls it; empty if none does."""
    for suffix in SUFFIXES:
        told = _read(file.with_name(file.stem + suffix))
        base = next((word for key in BASE_KEYS if isinstance(word := told.get(key), str) and family_of_base(word)), "")
        if base:
            return base[:LONGEST]
    return ""


def family_of_base(base: str) -> str | None:
    return next((family for words, family in BASES if re.match(words, base, re.IGNORECASE)), None)


def told_beside(found: Sniffed, file: Path, base: str) -> Sniffed:
    """What the header shows, with what only a sidecar or a folder's name tells: a family, a scale, a method of few steps."""
    family = family_of_base(base)
    if found.kind == "checkpoint" and found.family in UNETS and not found.variant and _predicts_v(file):
        return replace(found, prediction="v_prediction", variant="v-prediction")
    if found.kind == "vae":
        return replace(found, family=_scale_family(found.family, file, family))
    if found.family is None and found.kind in HAS_FAMILY:
        return replace(found, family=family)
    plain = found.kind in ("checkpoint", "gguf") and not found.variant and found.prediction != "v_prediction"
    distilled = plain and family == found.family and family in DISTILLED and FEW_STEP.search(base)
    return replace(found, variant="few-step") if distilled else found


def _predicts_v(file: Path) -> bool:
    """Whether the configuration beside a checkpoint says that it predicts v."""
    try:
        with open_file(file.with_suffix(YAML)) as opened:
            return PREDICTS_V.search(opened.read(MOST_YAML)) is not None
    except (ModelError, OSError):
        return False


def _scale_family(sniffed: str | None, file: Path, family: str | None) -> str | None:
    """An autoencoder's family: its configuration's, then its name's, its base model's, its folder's, its shape's."""
    scales = next((scales for scales in SCALES if sniffed in scales.values()), None)
    if scales is None:
        return sniffed
    if LIBRARY_NAMES.fullmatch(file.stem):
        scale = _read(file.with_name(CONFIG)).get("scaling_factor")
        if isinstance(scale, float) and scale in scales:
            return scales[scale]
    if sniffed != next(iter(scales.values())):
        return sniffed
    if family in scales.values():
        return family
    folders = f"{file.parent.parent.name}/{file.parent.name}"
    by_folder = next((name for words, name in SORTED if re.search(words, folders, re.IGNORECASE)), None)
    return by_folder if by_folder in scales.values() else sniffed


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except ModelError:
        return {}


def _words(told: dict[str, Any]) -> list[str]:
    """The model's name and version where a site's answer is kept; else a person's own notes. Then the trigger words."""
    site = told["civitai"] if isinstance(told.get("civitai"), dict) else told
    model = site.get("model")
    named = [model.get("name"), site.get("name")] if isinstance(model, dict) else [told.get(key) for key in NAME_KEYS]
    title = " ".join(word for word in named if isinstance(word, str) and word)
    trained = next((row for key in ("trainedWords", "TrainedWords") if isinstance(row := site.get(key), list)), [])
    triggers = ", ".join(word for word in trained if isinstance(word, str)) or told.get("activation text", "")
    plain = [told.get(key) for key in ("description", "notes")] if not title else []
    found = [title, *plain, f"Trigger words: {triggers}" if triggers and isinstance(triggers, str) else ""]
    return [words for words in found if isinstance(words, str) and words.strip()]
