"""Requests of earlier versions as this one writes them, so that every recipe, job and preset ever kept can be read."""

from typing import Any

# Version 1 kept a cascade's settings in the request itself: their names there and in the part.
CASCADE_FIELDS = {
    "upper_steps": "steps",
    "upper_guidance_scale": "guidance_scale",
    "noise_level": "noise_level",
}


def upgrade(request: dict[str, Any]) -> dict[str, Any]:
    """The fields of a GenerationRequest, whichever version wrote them. Values of this version come back as they are."""
    values = dict(request)
    cascade = {name: values.pop(old) for old, name in CASCADE_FIELDS.items() if old in values}
    if any(value is not None for value in cascade.values()):
        values["parts"] = [*values.get("parts", ()), {"kind": "cascade", **cascade}]
    return values
