"""Writes a pipeline's tiny random components as a diffusers folder, in the layout in which such models are published."""

import json
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from tests.models.component_classes import fill_in
from tests.models.components import make, seed_components

Components = dict[str, Any]
Given = Callable[..., Components]


def builder(
    pipeline: str, side: int | None = None, index: dict[str, Any] | None = None
) -> Callable[[Given], Callable[..., Path]]:
    """A builder of folders, `(folder, seed=0, **options) -> folder`, of a function that makes what is to be given.

    The other components are tiny ones of the classes that the pipeline asks for. `index` holds entries of
    model_index.json that saving does not write; `side` is the default size in pixels, on the model's card, where no
    configuration states a small one.
    """

    def decorate(given: Given) -> Callable[..., Path]:
        @wraps(given)
        def build(folder: Path, seed: int = 0, **options: Any) -> Path:
            seed_components(seed)
            made = make(pipeline, **fill_in(pipeline, given(**options)))
            made.save_pretrained(folder, safe_serialization=True)
            entries = json.loads((folder / "model_index.json").read_text())
            (folder / "model_index.json").write_text(json.dumps(_published(entries, made) | (index or {})))
            if side is not None:
                (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": side, "height": side}}))
            return folder

        return build

    return decorate


def _published(entries: dict[str, Any], pipeline: Any) -> dict[str, Any]:
    """As it was before the classes of some components were deprecated."""
    for name, value in entries.items():
        module = type(getattr(pipeline, name, None)).__module__.split(".")
        if isinstance(value, list) and module[:3] == ["diffusers", "pipelines", "deprecated"]:
            entries[name] = [module[3], value[1]]
    return entries
