"""A field of a value as a control of the page: how it is drawn, what stands in it, and how that is read back.

A number travels as the text that stands in its box: whether it is a good one is for the request to say, so that 1.5 steps
are refused in words instead of being rounded away. Knows no particular field and no model.
"""

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from studio.core.fields import FieldSpec
from studio.core.models import Choice
from studio.ui.assets import behaviour

# Which function of `static/controls.js` draws a field, by `FieldSpec.kind`.
_DRAWN_AS = {
    "integer": "number",
    "number": "number",
    "text": "line",
    "boolean": "switch",
    "choice": "select",
    "image": "picture",
    "model": "file",
}
# What a control has beside its value, each as the page reads it.
PROPERTIES: dict[str, Any] = {
    "label": "",
    "help": "",
    "choices": [],  # of a menu: {name, title, help}; with `modes`, only for these modes of the workbench
    "choices_by": {},  # the same by the value of the field that `depends` names
    "depends": "",
    "refusals": {},  # mode -> why a choice is not for it
    "empty": "",  # of a menu without choices: what it shows, and its help
    "empty_help": "",
    "soft": [],  # (least, greatest, step) of a slider
    "step": 1,
    "placeholder": "",
    "locked": "",  # why the control does nothing just now
    "note": "",  # stands beneath it
    "advised": False,  # whether there may be advice
    "advice": {},  # {sampler: {spacing: {below, sentence}}}: in place of the note while the number is below
    "reusable": True,  # of a picture: whether it may be one that was made here
    "drawable": False,  # of a picture: whether it may be drawn, or painted on
    "only": [],  # [key, value, default]: hidden while it has its default and that other field has another value
    "box": "",  # of a mask: the key of the box that can be drawn beside it
    "within": "",  # the field whose control draws this one too
    "stops": [],  # [number, word] of a number that is chosen in a few plain words
    "annotators": [],  # of a control image: {name, title, help, problem}
    "over": "",  # of a mask: the key of the picture that it is painted over
    "counts": False,  # whether the number decides how many steps run, which is then said beneath it
}
MISSING = object()  # read from an empty control whose field has to be given: the request says that it is missing


class Field(gr.HTML):
    """One labelled control. `kind` names the function of `static/controls.js` that draws it.

    Gradio builds a control anew for each update, from what it was built with and what the update changes, the value left
    out: so every property has a default.
    """

    def __init__(self, path: str, value: Any = None, *, kind: str, name: str = "", **props: Any):
        """`path` is where messages find the field ("steps", "task.strength"); `name` its key on the page, else the path."""
        super().__init__(
            value=value,
            html_template="<div class='field-body'></div>",
            js_on_load=behaviour("fields.js"),
            apply_default_css=False,
            elem_classes=["field", f"field-{kind}", f"is-{path.replace('.', '-')}"],
            field=name or path,
            kind=kind,
            **PROPERTIES | props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "the value of one setting"}


class Switch(Field):
    """A checkbox that is no field of a request."""

    def __init__(self, name: str, value: bool = False, *, title: str, help: str = "", **props: Any):
        super().__init__(name, value, kind="switch", label=title, help=help, **props)


def control(spec: FieldSpec) -> dict[str, Any]:
    """How the page draws the field, as far as its declaration says: properties of a `Field`, or of one in a card."""
    drawn: dict[str, Any] = {"kind": _DRAWN_AS[spec.kind], "label": spec.title, "help": spec.help}
    if spec.choices:
        drawn["choices"] = [{"name": value, "title": title, "help": ""} for value, title in spec.choices]
    if spec.extra.soft:
        drawn |= {"soft": list(spec.extra.soft), "step": spec.extra.soft[2]}
    if spec.extra.widget == "mask":
        drawn |= {"kind": "mask", "reusable": False}
    if spec.extra.widget in ("intent", "box"):
        drawn["kind"] = spec.extra.widget
    if spec.extra.widget == "control":
        drawn["kind"] = "control"
    if spec.extra.widget in ("image", "control"):
        drawn["drawable"] = True
    if spec.extra.stops:
        drawn |= {"kind": "stops", "stops": [list(stop) for stop in spec.extra.stops]}
    return drawn


def typed(spec: FieldSpec, value: Any) -> Any:
    """What stands in a control as a value of the field; what is no such value stays as it is, for the request to refuse."""
    if spec.kind in ("image", "model") and not value:
        return None if spec.optional else MISSING
    if spec.kind not in ("integer", "number"):
        return value
    text = str(value).strip()
    if not text:
        return None if spec.optional else value
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return value


def standing(spec: FieldSpec, value: Any) -> Any:
    """The inverse of `typed`: how a value stands in its control."""
    if spec.kind in ("integer", "number"):
        return shown(value)
    return "" if value is None else value


def shown(value: Any) -> str:
    """A number as people write it; 5.0 as 5, nothing for None."""
    if value is None:
        return ""
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def plain(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    return [choice.model_dump() for choice in choices]


def in_pairs(specs: Sequence[FieldSpec], draw: Callable[[FieldSpec], None]) -> None:
    """Draws the fields two in a row where two of one height follow each other: sliders, or plain controls."""
    waiting = list(specs)
    while waiting:
        first = waiting.pop(0)
        if waiting and not first.extra.wide and _row(waiting[0]) == _row(first):
            with gr.Row(elem_classes=["pair"]):
                draw(first)
                draw(waiting.pop(0))
        else:
            draw(first)


def _row(spec: FieldSpec) -> tuple[bool, bool]:
    return spec.extra.wide, bool(spec.extra.soft)
