"""SwarmUI (0.9): a JSON object with `sui_image_params`, in PNG's "parameters" or a comment elsewhere.

As its `docs/Image Metadata Format.md` has it: ids of parameters in lower case, values as numbers or as text.
"""

from typing import Any

from studio.metadata.found import File, Found, Texts, decimal, left, objects, text
from studio.metadata.programs.a1111 import without_loras

_FIELDS = {
    "seed": "seed",
    "steps": "steps",
    "cfgscale": "guidance_scale",
    "width": "width",
    "height": "height",
}
_KNOWN = frozenset(
    {*_FIELDS, "prompt", "negativeprompt", "model", "sampler", "scheduler", "vae", "loras", "loraweights"}
    | {
        "initimagecreativity",
        "fluxguidancescale",
        "aspectratio",
        "automaticvae",
        "swarm_version",
        "images",
        "batchsize",
    }
    | {"date", "generation_time", "original_prompt", "used_wildcards", "wildcardseed", "nopreviews", "imageformat"}
    | {"donotsave", "personalnote", "outpathformat", "loratencweights", "lorasectionconfinement", "sidelength"}
)


def read(texts: Texts) -> Found | None:
    whole = texts.object(texts.main)
    params = whole.get("sui_image_params")
    if not isinstance(params, dict):
        return None
    found = Found("SwarmUI", negative_prompt=text(params.get("negativeprompt")))
    found.prompt, found.loras = without_loras(text(params.get("prompt")))
    for theirs, ours in _FIELDS.items():
        found.put(ours, params.get(theirs))
    if params.get("fluxguidancescale") and decimal(params.get("cfgscale")) == 1:
        found.put("guidance_scale", params["fluxguidancescale"])  # what FLUX was distilled with; its CFG is 1
    found.sampler, found.schedule = text(params.get("sampler")), text(params.get("scheduler"))
    found.model = _model(text(params.get("model")), whole)
    found.vae = File(text(params["vae"])) if text(params.get("vae")) else None
    found.loras += _loras(params)
    found.strength = decimal(params.get("initimagecreativity"))
    found.unused = left(params, _KNOWN)
    return found


def _model(name: str, whole: dict[str, Any]) -> File:
    """With the hash of its tensors, which is in a list of all models, where names have their suffix."""
    listed = (each for each in objects(whole.get("sui_models")) if each.get("param") == "model")
    return File(name, next((text(each.get("hash")) for each in listed), ""))


def _loras(params: dict[str, Any]) -> list[File]:
    names, weights = _list(params.get("loras")), [decimal(each) for each in _list(params.get("loraweights"))]
    found = []
    for number, name in enumerate(names):
        weight = weights[number] if number < len(weights) else None
        found.append(File(name, weight=1.0 if weight is None else weight))
    return found


def _list(value: Any) -> list[str]:
    """A JSON list, or one as text with commas between its items."""
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list) else []
    return [str(each).strip() for each in items if str(each).strip()]
