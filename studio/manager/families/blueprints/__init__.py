"""What a single-file checkpoint leaves out: its components' configurations, as their publishers wrote them, one JSON each."""

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Where a checkpoint in CompVis' naming keeps each component.
PREFIXES: dict[str, tuple[str, ...]] = {
    "unet": ("model.diffusion_model.", "diffusion_model."),
    "vae": ("first_stage_model.", "vae."),
    "text_encoder": ("cond_stage_model.", "conditioner.embedders.0."),
    "text_encoder_2": ("conditioner.embedders.1.",),
    "transformer": ("model.diffusion_model.", "diffusion_model."),
}


@dataclass(frozen=True)
class Companion:
    """A file that brings one component to a checkpoint without it: of this kind, and of this variant or family.

    `name` is an expression that its path must fit where headers do not tell enough; `example` what it is published as.
    """

    kind: str
    example: str
    variant: str = ""
    family: str = ""
    name: str = ""


@dataclass(frozen=True)
class Blueprint:
    """`parts` maps a component to (library, class); `tokenizers` to the padding token of a CLIP tokenizer; `prefixes` to where
    its tensors stand in the file; `companions` to the file that brings it where this one does not."""

    pipeline: str
    parts: dict[str, tuple[str, str]]
    configs: dict[str, dict[str, Any]]
    tokenizers: dict[str, str]
    arguments: dict[str, Any] = field(default_factory=dict)
    prefixes: dict[str, tuple[str, ...]] = field(default_factory=lambda: PREFIXES)
    companions: dict[str, Companion] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()  # components that the pipeline does without
    identities: dict[str, str] = field(
        default_factory=dict
    )  # component -> a square matrix that files leave out: the identity


@functools.cache
def blueprint(name: str) -> Blueprint:
    """The blueprint of `name`.json."""
    data = json.loads(Path(__file__).with_name(f"{name}.json").read_text(encoding="utf-8"))
    data["parts"] = {part: tuple(where) for part, where in data["parts"].items()}
    data["prefixes"] = PREFIXES | {part: tuple(found) for part, found in data.get("prefixes", {}).items()}
    data["companions"] = {part: Companion(**companion) for part, companion in data.get("companions", {}).items()}
    data["optional"] = frozenset(data.get("optional", ()))
    return Blueprint(**data)
