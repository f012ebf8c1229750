"""Writes a pipeline's tiny random components as a diffusers folder, in the layout in which such models are published."""

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from tests.models.components import make, seed_components

Components = dict[str, Any]


def write_folder(
    folder: Path,
    pipeline: str,
    components: Callable[[], Components],
    seed: int = 0,
    *,
    side: int | None = None,
    index: Mapping[str, Any] | None = None,
) -> Path:
    """The pipeline as published: `index` holds entries of model_index.json that saving does not write.

    `side` is the default size in pixels, on the model's card, where no configuration states a small one.
    """
    seed_components(seed)
    torch.manual_seed(seed)
    made = make(pipeline, **components())
    made.save_pretrained(folder, safe_serialization=True)
    entries = json.loads((folder / "model_index.json").read_text())
    for name, value in entries.items():
        module = type(getattr(made, name, None)).__module__.split(".")
        if isinstance(value, list) and module[:3] == ["diffusers", "pipelines", "deprecated"]:
            entries[name] = [module[3], value[1]]  # as it was published, before these were deprecated
    (folder / "model_index.json").write_text(json.dumps(entries | dict(index or {})))
    if side is not None:
        (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": side, "height": side}}))
    return folder


def builder(pipeline: str, **published: Any) -> Callable[[Callable[..., Components]], Callable[..., Path]]:
    """Makes a builder of a folder of a function that makes the pipeline's components."""

    def decorate(components: Callable[..., Components]) -> Callable[..., Path]:
        @functools.wraps(components)
        def build(folder: Path, seed: int = 0, **options: Any) -> Path:
            return write_folder(folder, pipeline, lambda: components(**options), seed, **published)

        return build

    return decorate
