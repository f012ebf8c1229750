"""The AUTOMATIC1111 text, and what is added to it by Forge, reForge, SD.Next, Fooocus (its second scheme) and Civitai's site.

Keys as in the sources of AUTOMATIC1111 1.10 (`processing.py`), Forge 2 (`processing.py`), SD.Next 2025
(`processing_info.py`), Fooocus 2.5 (`meta_parser.py`). Their case differs between programs, so it counts nowhere.
"""

import re
from typing import Any

from studio.core import infotext
from studio.core.fields import specs
from studio.core.parts import PARTS
from studio.core.request import GenerationRequest
from studio.metadata.found import PARAMETERS, File, Found, Texts, as_object, decimal, number, objects, text
from studio.metadata.programs import air

# Their keys in lower case that are settings of ours, as the fields declare them: key -> the request's own field, or (part's kind, field).
_FIELDS = {
    spec.extra.infotext.lower(): name for name, spec in specs(GenerationRequest).items() if spec.extra.infotext
} | {"cfg rescale": "guidance_rescale"}
_PART_FIELDS = {
    spec.extra.infotext.lower(): (kind, name)
    for kind, part in PARTS.items()
    for name, spec in specs(part).items()
    if spec.extra.infotext and spec.kind != "model"
}
_SCHEDULES = ("schedule type", "sampler sigma", "scheduler", "sampler spacing")  # the first of them that is there
# Keys that change no picture here, or are spoken of on their own.
_KNOWN = {
    *_FIELDS,
    *_PART_FIELDS,
    *_SCHEDULES,
    *(
        "sampler",
        "model",
        "model hash",
        "vae",
        "vae hash",
        "hashes",
        "lora hashes",
        "lora weights",
        "civitai resources",
    ),
    *("rng", "version", "user", "app", "backend", "pipeline", "operations", "created date", "civitai metadata"),
    *("batch size", "batch pos", "batch", "index", "face restoration", "raw prompt", "raw negative prompt", "styles"),
    "distilled cfg scale",
}
_HARMLESS = {"ensd": "0", "refine": "False"}
_LORA = re.compile(r"<(?:lora|lyco):([^:<>]+)((?::[^:<>]*)*)>")
_OWN_LORA = re.compile(r"lora \d{1,3}")
_GPU = frozenset({"AUTOMATIC1111", "Forge", "reForge", "SD.Next"})


def read(texts: Texts) -> Found | None:
    """None where there is no such text. A comment of a camera or an editor is no prompt; PNG's "parameters" always is."""
    main = texts.main
    written = texts.get(main, "").strip("\x00")
    if not written or written.lstrip().startswith("{"):
        return None
    parsed = infotext.parse(written)
    if not parsed.params and main != PARAMETERS:
        return None
    return translate(parsed)


def translate(parsed: infotext.Infotext) -> Found:
    params = {key.lower(): value for key, value in parsed.params.items()}
    found = Found(_program(params), negative_prompt=parsed.negative_prompt)
    found.prompt, found.loras = without_loras(parsed.prompt)
    for key, name in _FIELDS.items():
        found.put(name, params.get(key))
    _add_guidance(found, params)
    found.sampler = params.get("sampler", "")
    found.schedule = next((params[key] for key in _SCHEDULES if params.get(key)), "")
    _add_files(found, params)
    _add_parts(found, params)
    hires = any(key.startswith(("hires ", "first pass size")) for key in params)
    if not hires and "denoising strength" in params:
        found.strength = decimal(params["denoising strength"])
    found.unused = [key for key in parsed.params if not _is_known(key.lower(), params, hires)]
    if "seed" in params and found.program in _GPU and params.get("rng", "GPU").upper() != "CPU":
        found.notes.append("Its noise was drawn on a GPU; the same seed gives another picture here.")
    return found


def _is_known(key: str, params: dict[str, str], hires: bool) -> bool:
    if key == "denoising strength":
        return not hires
    return key in _KNOWN or _HARMLESS.get(key) == params[key] or _OWN_LORA.fullmatch(key) is not None


def _program(params: dict[str, str]) -> str:
    version = params.get("version", "")
    if params.get("app") == "SD.Next":
        return "SD.Next"
    if "civitai resources" in params:
        return "Civitai"
    for start, program in (("unnoise", "Unnoise"), ("Fooocus", "Fooocus"), ("ComfyUI", "ComfyUI")):
        if version.startswith(start):
            return program
    if re.match(r"f\d+\.\d+(\.\d+)?v\d+-v", version):
        return "reForge"
    return "Forge" if re.match(r"f\d|neo|classic", version) else "AUTOMATIC1111"


def _add_guidance(found: Found, params: dict[str, str]) -> None:
    """Forge runs FLUX at a CFG of 1 and gives the guidance that it was distilled with apart; ours is that one."""
    if params.get("distilled cfg scale") and decimal(params.get("cfg scale", "1")) == 1:
        found.put("guidance_scale", params["distilled cfg scale"])


def without_loras(prompt: str) -> tuple[str, list[File]]:
    """The prompt without its <lora:name:weight> tags, and the LoRAs that they name.

    One weight is for everything; of two the first is the text encoder's, unless they are named "te" and "unet".
    """
    loras = [_lora(match[1], match[2].split(":")[1:]) for match in _LORA.finditer(prompt)]
    return (_LORA.sub("", prompt).strip() if loras else prompt), loras


def _lora(name: str, arguments: list[str]) -> File:
    named = dict(each.split("=", 1) for each in arguments if "=" in each)
    plain = [value for each in arguments if "=" not in each and (value := decimal(each)) is not None]
    text_weight = decimal(named.get("te"))
    if text_weight is None:
        text_weight = plain[0] if plain else 1.0
    weight = decimal(named.get("unet"))
    if weight is None:
        weight = plain[1] if len(plain) > 1 else text_weight
    return File(name.strip(), weight=weight, text_weight=text_weight)


def _add_files(found: Found, params: dict[str, str]) -> None:
    """Model, VAE and LoRAs by name and by hashes, which are in any of three places."""
    hashes = {key.lower(): text(value) for key, value in as_object(params.get("hashes")).items()}
    model = File(params.get("model", ""), params.get("model hash", "") or hashes.get("model", ""))
    resources = objects(_json_list(params.get("civitai resources")))
    found.model = model if model.name or model.hash else air.checkpoint(resources)
    if params.get("vae") or params.get("vae hash"):
        found.vae = File(params.get("vae", ""), params.get("vae hash", ""))
    pairs = _pairs(params.get("lora hashes", ""))
    listed = {name.lower(): values[0] for name, values in pairs.items()}
    listed |= {key.removeprefix("lora:"): value for key, value in hashes.items() if key.startswith("lora:")}
    found.loras = [
        File(each.name, listed.get(each.name.lower(), ""), each.weight, each.text_weight) for each in found.loras
    ]
    if not found.loras:
        found.loras = _weighted(params, pairs) or air.loras(resources)
    found.loras += [_own_lora(value) for key, value in params.items() if _OWN_LORA.fullmatch(key)]


def _json_list(value: str | None) -> Any:
    return as_object(f'{{"list": {value}}}').get("list") if value else None


def _pairs(listing: str) -> dict[str, list[str]]:
    """ "a: 0123, b: 4567: 0.5" as {"a": ["0123"], "b": ["4567", "0.5"]}."""
    rows = [each.split(": ") for each in listing.split(", ") if ": " in each]
    return {name: values for name, *values in rows}


def _weighted(params: dict[str, str], hashes: dict[str, list[str]]) -> list[File]:
    """Fooocus lists the weights apart, or (before 2.2) behind the hashes; a prompt of its pictures has no tags."""
    weights = {name: values[0] for name, values in _pairs(params.get("lora weights", "")).items()}
    weights |= {name: values[1] for name, values in hashes.items() if len(values) > 1}
    return [
        File(name, hashes.get(name, [""])[0], 1.0 if (weight := decimal(value)) is None else weight)
        for name, value in weights.items()
    ]


def _own_lora(value: str) -> File:
    """A LoRA as we write it ourselves: "LoRA: folder/ink, Weight: 0.8"."""
    items = {key.lower(): each for key, each in infotext.split_items(value)}
    weight = decimal(items.get("weight"))
    text_weight = decimal(items.get("text encoder weight"))
    return File(items.get("lora", ""), "", 1.0 if weight is None else weight, text_weight)


def _add_parts(found: Found, params: dict[str, str]) -> None:
    parts: dict[str, dict[str, Any]] = {}
    for key, (kind, name) in _PART_FIELDS.items():
        if key in params:
            parts.setdefault(kind, {"kind": kind})[name] = number(params[key])
    found.parts = list(parts.values())
