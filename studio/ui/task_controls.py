"""Draws what tasks add to the form, and says how many steps of a run its task takes, and what a choice of it sets. Knows no
particular task."""

import itertools
from collections.abc import Mapping
from typing import Any

from gradio.components import Component
from pydantic import ValidationError

from studio.core.fields import FieldSpec, specs
from studio.core.models import ModelInfo
from studio.core.protocol import Studio
from studio.core.request import DEFAULT
from studio.core.tasks import TASKS
from studio.ui.core_controls import CORE
from studio.ui.fields import Field, control, in_pairs, standing, typed
from studio.ui.fold import fold
from studio.ui.mode import panel
from studio.ui.model_controls import known_options

COUNTED = frozenset({"strength"})  # the fields that decide how many steps run
_SOME_PICTURE = "0" * 64


def draw(studio: Studio, modes: Mapping[str, str]) -> dict[str, dict[str, Component]]:
    """Kind of task -> its controls by the field's name: pictures first, then a choice that sets others, and last, in a fold, what
    is rarely changed. Each is shown in the modes whose task has the field.

    Tasks that declare a field alike share one control, so that it stays put when the mode changes."""
    owners: dict[FieldSpec, list[str]] = {}
    for kind in dict.fromkeys(modes.values()):
        for spec in specs(TASKS[kind]).values():
            owners.setdefault(spec, []).append(kind)
    keys = _keys(owners)
    drawn: dict[str, dict[str, Component]] = {kind: {} for kind in modes.values()}
    options = known_options(studio, DEFAULT)

    def draw_field(spec: FieldSpec) -> None:
        kinds = owners[spec]
        first = specs(TASKS[kinds[0]])
        more: dict[str, Any] = {}
        if spec.name in COUNTED:
            more |= {"counts": True, "server_functions": [steps_that_run]}
        if spec.extra.widget == "intent":
            more["server_functions"] = [what_it_sets]
        if spec.extra.widget == "mask":
            beside = {each.extra.widget: keys[each] for each in first.values() if each in keys}
            more |= {"over": beside.get("image", ""), "box": beside.get("box", "")}
        if spec.extra.only:
            leader, value = spec.extra.only
            more["only"] = [keys[first[leader]], value, standing(spec, spec.default)]
        own = _set_by_intent(kinds[0], {}, options.model) if options and len(kinds) == 1 else {}
        value = own.get(spec.name, standing(spec, spec.default))
        component = Field(f"task.{spec.name}", value, name=keys[spec], **control(spec) | more)
        for kind in kinds:
            drawn[kind][spec.name] = component

    def steps_that_run(given: Any) -> str:
        return steps_sentence(studio, modes, given)

    def what_it_sets(given: Any) -> dict[str, Any]:
        return settings_set(studio, modes, keys, given)

    def place(spec: FieldSpec) -> tuple[int, tuple[str, ...]]:
        return _place(spec), tuple(owners[spec])

    for (rank, kinds), group in itertools.groupby(sorted(owners, key=place), key=place):
        with panel(*(mode for mode, task in modes.items() if task in kinds)):
            if rank < _FOLDED:
                in_pairs(list(group), draw_field)
                continue
            with fold(f"task-{kinds[0]}", f"{TASKS[kinds[0]].title} settings", *_summary(keys, kinds[0]), opened=False):
                in_pairs(list(group), draw_field)
    return drawn


_FOLDED = 5


def _place(spec: FieldSpec) -> int:
    ranks = {"image": 0, "intent": 1, "mask": 3}
    return _FOLDED if spec.extra.advanced else ranks.get(spec.extra.widget, 2 if spec.extra.only else 4)


def _keys(owners: Mapping[FieldSpec, list[str]]) -> dict[FieldSpec, str]:
    """What the page knows each control by: the field's path, with the task's kind where tasks declare it differently."""
    keys: dict[FieldSpec, str] = {}
    for spec, kinds in owners.items():
        path = f"task.{spec.name}"
        keys[spec] = f"{path}.{kinds[0]}" if path in keys.values() else path
    return keys


def _summary(keys: Mapping[FieldSpec, str], kind: str) -> list[str]:
    """What the closed fold says: the choices in it."""
    folded = (spec for spec in specs(TASKS[kind]).values() if spec.extra.advanced and spec.choices)
    return [f"{{{keys[spec]}}}" for spec in folded if spec in keys]


def _set_by_intent(kind: str, given: dict[str, Any], model: ModelInfo) -> dict[str, Any]:
    """Field -> how the value stands in its control that the model's own settings give it beside those that are given."""
    task = TASKS[kind].model_construct(kind=kind, **given).resolved(model)
    names = task.model_fields_set - given.keys() - {"kind"}
    return {name: standing(spec, getattr(task, name)) for name, spec in specs(TASKS[kind]).items() if name in names}


def settings_set(
    studio: Studio, modes: Mapping[str, str], keys: Mapping[FieldSpec, str], given: dict[str, Any]
) -> dict[str, Any]:
    """What a choice sets for the model, and what the prompt should then say: {"settings": [{key, title, value, text}], "help"}.
    `given`: {"mode", "model", "field", "value"}."""
    kind, options = modes.get(str(given["mode"]), ""), known_options(studio, str(given["model"]))
    fields = specs(TASKS[kind]) if kind in TASKS else {}
    spec = fields.get(str(given["field"]).split(".")[1])
    if spec is None or options is None or given["value"] not in dict(spec.choices):
        return {"settings": [], "help": ""}
    chosen = {spec.name: given["value"]}
    settings = [
        {"key": keys[fields[name]], "title": fields[name].title, "value": value, "text": _text(fields[name], value)}
        for name, value in _set_by_intent(kind, chosen, options.model).items()
    ]
    return {
        "settings": settings,
        "help": TASKS[kind].model_construct(kind=kind, **chosen).prompt_help(options.model),
    }


def _text(spec: FieldSpec, value: Any) -> str:
    return dict(spec.choices).get(value, str(value))


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
