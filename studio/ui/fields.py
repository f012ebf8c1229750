"""The form's controls: native inputs with real labels, each a small Gradio component whose value is what was typed.

A number is handed on as the text that stands in its box: whether it is a good one is for the request to say, so that
1.5 steps are refused in words instead of being rounded away. Titles and help come from the request's own fields.
"""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.core.models import Choice
from studio.core.request import GenerationRequest
from studio.ui.assets import behaviour


class Field(gr.HTML):
    """A labelled control. `kind` names the function of `static/fields.js` that draws it.

    Gradio builds a control anew for each update, from what it was built with and what the update changes, the value left
    out: so every value has a default, and what may change is given in the form in which the page reads it.
    """

    def __init__(self, field: str, kind: str, value: Any, *, title: str = "", help: str = "", **props: Any):
        info = GenerationRequest.model_fields.get(field)
        super().__init__(
            value=value,
            html_template="<div class='field-body'></div>",
            js_on_load=behaviour("fields.js"),
            apply_default_css=False,
            label=title or (info.title if info else None) or field,
            elem_classes=["field", f"field-{kind}", f"is-{field}"],
            field=field,
            kind=kind,
            help=help or (info.description if info else "") or "",
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "the value of one setting"}


class Select(Field):
    """A native menu of `plain` choices. `choices_by` narrows it by the value of another field: {that value: choices}."""

    def __init__(
        self,
        field: str,
        value: str = "",
        choices: Sequence[dict[str, str]] = (),
        *,
        depends: str = "",
        choices_by: dict[str, list[dict[str, str]]] | None = None,
        **props: Any,
    ):
        super().__init__(
            field, "select", value, choices=list(choices), depends=depends, choices_by=choices_by or {}, **props
        )


class Number(Field):
    """A number box; with `soft` = (least, greatest, step) a slider under it that spans the usual values.

    `locked` says why the control does nothing just now, `absent` takes it off the page. `advice` is {sampler: {spacing:
    {below, sentence}}}: what is said under the box while its number is below; `note` what is said otherwise.
    """

    def __init__(self, field: str, value: Any = None, *, soft: tuple[float, float, float] | None = None, **props: Any):
        shared: dict[str, Any] = {"placeholder": "", "locked": "", "advice": {}, "note": "", "absent": False} | props
        super().__init__(field, "number", shown(value), soft=list(soft or ()), **shared)


class Seed(Field):
    """The seed's box, a die that asks for a new one each time, and a button that takes the shown image's seed."""

    def __init__(self, field: str, value: Any = None, **props: Any):
        super().__init__(field, "seed", shown(value), **props)


class Switch(Field):
    """A checkbox."""

    def __init__(self, field: str, value: bool = False, **props: Any):
        super().__init__(field, "switch", value, **props)


def plain(choices: Sequence[Choice]) -> list[dict[str, str]]:
    return [choice.model_dump() for choice in choices]


def plain_by(choices_by: dict[str, list[Choice]]) -> dict[str, list[dict[str, str]]]:
    return {name: plain(choices) for name, choices in choices_by.items()}


def shown(value: Any) -> str:
    """A number as it stands in its box; 5.0 as 5, nothing for None."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, float) else str(value)
