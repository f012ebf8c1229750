"""Families of models, a few to a file. Importing this package fills the registry; nothing here loads torch."""

from dataclasses import replace

from studio.core.models import ModelInfo
from studio.manager.families import deepfloyd, dit, generic, stable_diffusion, unconditional
from studio.manager.families.base import (
    FAMILIES,
    Call,
    Family,
    LatentFormat,
    Loop,
    accepted,
    capabilities_of,
    family_of,
)
from studio.manager.families.blueprints import PREFIXES, Blueprint
from studio.manager.families.generic import fitted, generic_family, refusal


def family_for(info: ModelInfo) -> Family:
    """The family that a described model belongs to; a pipeline that only the generic family takes gets one of its own."""
    if info.family == generic.GENERIC.name:
        return generic_family(info.pipeline or "") or generic.GENERIC
    family = FAMILIES.get(info.family or "", field="model")
    return replace(family, blueprint=family.blueprint_of(info.variant))


__all__ = [
    "FAMILIES", "PREFIXES", "Blueprint", "Call", "Family", "LatentFormat", "Loop", "accepted", "capabilities_of", "deepfloyd", "dit",
    "family_for", "family_of", "fitted", "generic", "generic_family", "refusal", "stable_diffusion", "unconditional",
]  # fmt: skip
