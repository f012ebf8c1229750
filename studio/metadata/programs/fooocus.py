"""Fooocus (2.5), scheme "fooocus": a JSON object in "parameters", or in the Exif comment of JPEG and WebP.

Its other scheme is AUTOMATIC1111's text. Keys as in its `meta_parser.py`; RuinedFooocus (2) writes something similar.
"""

from typing import Any

from studio.metadata.found import File, Found, Texts, decimal, left, text

_FIELDS = {"steps": "steps", "guidance_scale": "guidance_scale", "seed": "seed"}
_KNOWN = frozenset(
    {*_FIELDS, "prompt", "negative_prompt", "full_prompt", "full_negative_prompt", "resolution", "sampler", "scheduler"}
    | {"base_model", "base_model_hash", "vae", "loras", "metadata_scheme", "version", "created_by", "styles"}
)
_RUINED = {"steps": "steps", "cfg": "guidance_scale", "seed": "seed", "width": "width", "height": "height"}
_RUINED_KNOWN = frozenset(
    {
        *_RUINED,
        "Prompt",
        "Negative",
        "sampler_name",
        "scheduler",
        "base_model_name",
        "base_model_hash",
        "software",
        "loras",
    }
)


def read(texts: Texts) -> Found | None:
    data = texts.object(texts.main)
    if text(data.get("software")) == "RuinedFooocus":
        return _ruined(data)
    if "base_model" not in data or "prompt" not in data:
        return None
    found = Found("Fooocus")
    found.prompt = _joined(data.get("full_prompt")) or text(data["prompt"])  # with the words of its styles
    found.negative_prompt = _joined(data.get("full_negative_prompt")) or text(data.get("negative_prompt"))
    for theirs, ours in _FIELDS.items():
        found.put(ours, data.get(theirs))
    for ours, side in zip(("width", "height"), _pair(data.get("resolution")), strict=False):
        found.put(ours, side)
    found.sampler, found.schedule = text(data.get("sampler")), text(data.get("scheduler"))
    found.model = File(text(data["base_model"]), text(data.get("base_model_hash")))
    found.vae = File(text(data["vae"])) if text(data.get("vae")) else None
    found.loras = _loras(data)
    found.unused = [each for each in left(data, _KNOWN) if not each.startswith("lora_combined_")]
    return found


def _joined(value: Any) -> str:
    return ", ".join(each for each in value if isinstance(each, str)) if isinstance(value, list) else ""


def _pair(value: Any) -> list[str]:
    """ "(1024, 768)" as its two numbers."""
    return [each.strip() for each in text(value).strip("()[] ").split(",")][:2]


def _loras(data: dict[str, Any]) -> list[File]:
    """Lists of name, weight and hash; before 2.3 they are "name : weight" alone."""
    listed = data.get("loras")
    rows = [
        each
        for each in (listed if isinstance(listed, list) else [])
        if isinstance(each, list) and len(each) >= 2 and isinstance(each[0], str)
    ]
    if rows:
        return [_lora(name, weight, text(rest[0]) if rest else "") for name, weight, *rest in rows]
    combined = [text(value).split(" : ") for key, value in data.items() if key.startswith("lora_combined_")]
    return [_lora(each[-2], each[-1], "") for each in combined if len(each) in (2, 3) and each[0] != "False"]


def _lora(name: str, weight: Any, hash: str) -> File:
    value = decimal(weight)
    return File(name, hash, 1.0 if value is None else value)


def _ruined(data: dict[str, Any]) -> Found:
    found = Found("RuinedFooocus", text(data.get("Prompt")), text(data.get("Negative")))
    for theirs, ours in _RUINED.items():
        found.put(ours, data.get(theirs))
    found.sampler, found.schedule = text(data.get("sampler_name")), text(data.get("scheduler"))
    found.model = File(text(data.get("base_model_name")), text(data.get("base_model_hash")))
    found.unused = left(data, _RUINED_KNOWN) + (["loras"] if data.get("loras") else [])
    return found
