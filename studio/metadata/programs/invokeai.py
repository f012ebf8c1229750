"""InvokeAI: `invokeai_metadata` of versions 3 to 6, `sd-metadata` of version 2, and the "Dream" command line before.

Keys as in its `invocations/metadata.py`, and in `image_metadata` of version 2. A scheduler's "_k" means Karras.
"""

import re
import shlex
from typing import Any

from studio.metadata.found import File, Found, Texts, as_object, decimal, left, number, objects, text

_FIELDS = {
    "seed": "seed",
    "steps": "steps",
    "cfg_scale": "guidance_scale",
    "cfg_rescale_multiplier": "guidance_rescale",
    "width": "width",
    "height": "height",
}
_KNOWN = frozenset(
    {*_FIELDS, "positive_prompt", "negative_prompt", "scheduler", "model", "vae", "loras", "strength", "init_image"}
    | {"rand_device", "app_version", "generation_mode", "guidance"}
)
_FLAGS = {"-s": "steps", "-S": "seed", "-W": "width", "-H": "height", "-C": "guidance_scale"}
_NEGATIVE = re.compile(r"\[([^\[\]]*)\]")
_MAX_DREAM = 20_000  # characters


def read(texts: Texts) -> Found | None:
    comment = texts.object(texts.main)  # a picture that was converted may carry all of them in one object
    if data := texts.object("invokeai_metadata") or as_object(comment.get("invokeai_metadata")):
        return _metadata(data)
    if data := texts.object("sd-metadata"):
        return _version_2(data)
    return _dream(texts["Dream"]) if texts.get("Dream") else None


def _metadata(data: dict[str, Any]) -> Found:
    found = Found("InvokeAI", text(data.get("positive_prompt")), text(data.get("negative_prompt")))
    for theirs, ours in _FIELDS.items():
        found.put(ours, data.get(theirs))
    if "guidance" in data and decimal(data.get("cfg_scale", 1)) == 1:
        found.put("guidance_scale", data["guidance"])  # FLUX's, which it was distilled with
    _add_scheduler(found, text(data.get("scheduler")))
    found.model = _file(data.get("model"))
    found.vae = _file(data.get("vae"))
    for each in objects(data.get("loras")):
        file = _file(each.get("model") or each.get("lora"))
        weight = decimal(each.get("weight"))
        found.loras += [File(file.name, file.hash, 1.0 if weight is None else weight)] if file else []
    if "img2img" in text(data.get("generation_mode")) or data.get("init_image"):
        found.strength = decimal(data.get("strength"))
    if text(data.get("rand_device")) not in ("", "cpu"):
        found.notes.append("Its noise was drawn on a GPU; the same seed gives another picture here.")
    found.unused = left(data, _KNOWN)
    return found


def _file(value: Any) -> File | None:
    """A model as version 4 names it (name, hash), and version 3 (model_name); None for none."""
    entry = as_object(value)
    name = text(entry.get("name")) or text(entry.get("model_name")) or text(value)
    return File(name, text(entry.get("hash"))) if name else None


def _add_scheduler(found: Found, scheduler: str) -> None:
    found.sampler = scheduler.removesuffix("_k")
    found.schedule = "Karras" if scheduler.endswith("_k") else ""


def _version_2(data: dict[str, Any]) -> Found:
    image = as_object(data.get("image"))
    found = Found("InvokeAI")
    written = image.get("prompt")
    pieces = [text(each.get("prompt")) for each in objects(written)] or [text(written)]
    found.prompt, found.negative_prompt = _split(" ".join(pieces))
    for theirs, ours in _FIELDS.items():
        found.put(ours, image.get(theirs))
    _add_scheduler(found, text(image.get("sampler")))
    found.model = File(text(data.get("model_weights")), text(data.get("model_hash")))
    if text(image.get("type")) == "img2img":
        found.strength = decimal(image.get("strength"))
    found.unused = left(image, _KNOWN | {"prompt", "sampler", "type"})
    return found


def _split(prompt: str) -> tuple[str, str]:
    """Version 2 puts the negative words of a prompt into brackets."""
    negative = ", ".join(each.strip() for each in _NEGATIVE.findall(prompt) if each.strip())
    return _NEGATIVE.sub("", prompt).strip(), negative


def _dream(line: str) -> Found | None:
    try:
        words = shlex.split(line[:_MAX_DREAM])
    except ValueError:
        return None
    if not words:
        return None
    found = Found("InvokeAI")
    found.prompt, found.negative_prompt = _split(words[0])
    options: dict[str, str] = {}
    for place, word in enumerate(words[1:], 1):
        if re.match(r"--?[A-Za-z]", word):
            name, glued = (word[:2], word[2:]) if word[2:3].isdigit() else (word, "")
            options[name] = glued or (words[place + 1] if place + 1 < len(words) else "")
    for flag, name in _FLAGS.items():
        found.put(name, number(options.get(flag)))
    _add_scheduler(found, options.get("-A", ""))
    found.strength = decimal(options.get("-f")) if "-I" in options else None
    found.unused = [flag for flag in options if flag not in {*_FLAGS, "-A", "-f", "-I"}]
    return found
