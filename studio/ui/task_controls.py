"""Draws what tasks add to the form, and says how many steps of a run its task takes. Knows no particular task."""

import itertools
from collections.abc import Mapping
from typing import Any

from gradio.components import Component
from pydantic import ValidationError

from studio.core.fields import FieldSpec, specs
from studio.core.protocol import Studio
from studio.core.tasks import TASKS
from studio.ui.core_controls import CORE
from studio.ui.fields import Field, control, in_pairs, standing, typed
from studio.ui.mode import panel
from studio.ui.model_controls import known_options

COUNTED = frozenset({"strength"})  # the fields that decide how many steps run
_SOME_PICTURE = "0" * 64


def draw(studio: Studio, modes: Mapping[str, str]) -> dict[str, dict[str, Component]]:
    """Kind of task -> its controls by the field's name, pictures first. Each is shown in the modes whose task has the field.
    Tasks that declare a field alike share one control, so that it stays put when the mode changes."""
    owners: dict[FieldSpec, list[str]] = {}
    for kind in dict.fromkeys(modes.values()):
        for spec in specs(TASKS[kind]).values():
            owners.setdefault(spec, []).append(kind)
    drawn: dict[str, dict[str, Component]] = {kind: {} for kind in modes.values()}

    def draw_field(spec: FieldSpec) -> None:
        path, kinds = f"task.{spec.name}", owners[spec]
        alone = not any(spec.name in others for others in drawn.values())
        more: dict[str, Any] = {"counts": True, "server_functions": [steps_that_run]} if spec.name in COUNTED else {}
        if spec.extra.widget == "mask":
            more["over"] = beneath(kinds[0])
        name = path if alone else f"{path}.{kinds[0]}"
        component = Field(path, standing(spec, spec.default), name=name, **control(spec) | more)
        for kind in kinds:
            drawn[kind][spec.name] = component

    def beneath(kind: str) -> str:
        """The key of the picture that a mask of this task lies over."""
        names = (name for name, spec in specs(TASKS[kind]).items() if spec.extra.widget == "image")
        return next((str(drawn[kind][name].props["field"]) for name in names if name in drawn[kind]), "")

    def steps_that_run(given: Any) -> str:
        return steps_sentence(studio, modes, given)

    in_order = sorted(owners, key=lambda spec: spec.kind != "image")
    for kinds, group in itertools.groupby(in_order, key=owners.__getitem__):
        with panel(*(mode for mode, task in modes.items() if task in kinds)):
            in_pairs(list(group), draw_field)
    return drawn


def steps_sentence(studio: Studio, modes: Mapping[str, str], given: dict[str, Any]) -> str:
    """What stands beneath a counted field: {"mode", "model", "steps", "field", "value"} as they stand in the controls.
    Empty while they are no values of a request."""
    kind, options = modes.get(str(given["mode"]), ""), known_options(studio, str(given["model"]))
    fields = specs(TASKS[kind]) if kind in TASKS else {}
    spec, steps = fields.get(str(given["field"]).split(".")[1]), typed(CORE["steps"], given["steps"])
    if spec is None or options is None or not isinstance(steps, int) or steps < 1:
        return ""
    pictures = {name: _SOME_PICTURE for name, each in fields.items() if each.kind == "image"}
    try:
        task = TASKS[kind](kind=kind, **pictures | {spec.name: typed(spec, given["value"])})
    except ValidationError:
        return ""
    run = task.steps_run(steps, options.model.capabilities.partial_steps)
    return f"{run} of {steps} steps will run." if run else "No step would run: raise the strength or the steps."
