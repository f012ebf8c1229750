"""Writes a pipeline's tiny random components as a diffusers folder, in the layout in which such models are published."""

import json
from collections.abc import Callable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import Any

from tests.models.component_classes import fill_in
from tests.models.components import make, seed_components

Components = dict[str, Any]


def write_folder(
    folder: Path, pipeline: str, given: Callable[[], Components], seed: int, side: int | None, index: Mapping[str, Any]
) -> Path:
    """The pipeline as published, of the components that are given and of tiny ones for the others.

    `index` holds entries of model_index.json that saving does not write; `side` is the default size in pixels, on the
    model's card, where no configuration states a small one.
    """
    seed_components(seed)
    made = make(pipeline, **fill_in(pipeline, given()))
    made.save_pretrained(folder, safe_serialization=True)
    entries = json.loads((folder / "model_index.json").read_text())
    for name, value in entries.items():
        module = type(getattr(made, name, None)).__module__.split(".")
        if isinstance(value, list) and module[:3] == ["diffusers", "pipelines", "deprecated"]:
            entries[name] = [module[3], value[1]]  # as it was published, before these were deprecated
    (folder / "model_index.json").write_text(json.dumps(entries | index))
    if side is not None:
        (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": side, "height": side}}))
    return folder


def builder(
    pipeline: str, side: int | None = None, index: dict[str, Any] | None = None
) -> Callable[[Callable[..., Components]], Callable[..., Path]]:
    """Makes a builder of a folder of a function that makes those components that are to be given."""

    def decorate(given: Callable[..., Components]) -> Callable[..., Path]:
        @wraps(given)
        def build(folder: Path, seed: int = 0, **options: Any) -> Path:
            return write_folder(folder, pipeline, partial(given, **options), seed, side, index or {})

        return build

    return decorate
