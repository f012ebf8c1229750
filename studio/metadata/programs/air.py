"""Civitai's lists of resources and its AIR names, "urn:air:sdxl:lora:civitai:12@34", as files with a name to show."""

import re
from typing import Any

from studio.metadata.found import File, decimal, text

_AIR = re.compile(r"urn:air:([\w-]+):([\w-]+):(\w+):([^@\s]+)(?:@(\S+))?")
CHECKPOINTS = frozenset({"checkpoint", "model"})
LORAS = frozenset({"lora", "lycoris", "locon", "dora"})


def parse(name: str) -> tuple[str, str] | None:
    """(kind, a name that says where it is from) of an AIR; None for any other text."""
    match = _AIR.match(name.strip()[:400])
    if match is None:
        return None
    source = match[3].capitalize() if match[3] == "civitai" else match[3]
    return match[2].lower(), f"{source} {match[4]}" + (f" version {match[5]}" if match[5] else "")


def checkpoint(resources: list[dict[str, Any]]) -> File | None:
    return next((_file(each) for each in resources if _kind(each) in CHECKPOINTS), None)


def loras(resources: list[dict[str, Any]]) -> list[File]:
    return [_file(each) for each in resources if _kind(each) in LORAS]


def _kind(resource: dict[str, Any]) -> str:
    named = parse(text(resource.get("air")))
    return (text(resource.get("type")) or (named[0] if named else "")).lower()


def _file(resource: dict[str, Any]) -> File:
    """By the name on the site; where there is none by its number there."""
    named = parse(text(resource.get("air")))
    version = resource.get("modelVersionId")
    name = text(resource.get("modelName")) or (named[1] if named else f"Civitai version {version}" if version else "")
    weight = decimal(resource.get("weight", resource.get("strength")))
    return File(name, text(resource.get("hash")), 1.0 if weight is None else weight)
