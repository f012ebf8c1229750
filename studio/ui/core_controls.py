"""Draws the controls of a request's core, each from what its field declares and what the first model offers.

The few that are more than that are named here; a field that is not is drawn by its kind.
"""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.core.fields import FieldSpec, specs
from studio.core.models import Choice, ModelOptions
from studio.core.protocol import Studio
from studio.core.request import DEFAULT, GenerationRequest
from studio.ui import model_controls
from studio.ui.fields import Field, control, plain, standing

CORE = {name: spec for name, spec in specs(GenerationRequest).items() if spec.kind != "values"}
NONE = "none"
TEXT_LINES = {"prompt": (3, 10), "negative_prompt": (1, 6)}  # of the text areas: at first, and at most
DTYPES = (
    Choice(name="auto", title="Automatic", help="What measures fastest on this device."),
    Choice(name="fp32", title="32-bit float", help="The most exact, and the slowest on most devices."),
    Choice(name="bf16", title="bfloat16", help="Half the memory, with the range of 32-bit floats."),
    Choice(name="fp16", title="16-bit float", help="Half the memory, with a smaller range."),
)
NO_MODEL = (
    "Put checkpoints or diffusers folders into the models folder, then load this page again. The Models tab says why a "
    "file that is there cannot be used."
)
_SPECIAL: dict[str, dict[str, Any]] = {
    "model": {"kind": "select", "empty": "No model that can be used", "empty_help": NO_MODEL},
    "sampler": {"kind": "select"},
    "spacing": {"kind": "select", "depends": "sampler"},
    "steps": {"advised": True},
    "seed": {"kind": "seed"},
    "width": {"step": 8},
    "height": {"step": 8},
    "dtype": {"choices": plain(DTYPES)},
}


def draw(studio: Studio, modes: Mapping[str, str], name: str) -> Component:
    """The control of the field of that name, or of a menu beside the fields: "preset", "style"."""
    if name in _MENUS:
        return _MENUS[name](studio)
    spec, options = CORE[name], model_controls.known_options(studio, DEFAULT)
    if name in TEXT_LINES:
        return _text_area(spec, options)
    own = options.model.defaults if options and spec.extra.per_model else None
    value = getattr(own, name) if own else spec.default
    special = _SPECIAL.get(name, {}) | model_controls.properties(spec, options)
    if name == "model":
        value = options.model.id if options else DEFAULT
        choices = model_controls.model_choices(studio, modes)
        special |= {"choices": choices, "refusals": model_controls.refusals(modes)}
    return Field(name, standing(spec, value), **control(spec) | special)


def _text_area(spec: FieldSpec, options: ModelOptions | None) -> Component:
    least, most = TEXT_LINES[spec.name]
    return gr.Textbox(
        value="",
        label=spec.title,
        lines=least,
        max_lines=most,
        **model_controls.words(spec.name, options),
        elem_classes=["field", "field-text", f"is-{spec.name}"],
    )


def _menu(name: str, title: str, help: str, choices: list[Choice]) -> Component:
    none = Choice(name=NONE, title="None")
    return Field(name, NONE, kind="select", label=title, help=help, choices=plain([none, *choices]))


def _presets(studio: Studio) -> Component:
    choices = [Choice(name=p.name, title=p.title, help=p.description) for p in studio.presets()]
    return _menu("preset", "Preset", "Sets several settings at once.", choices)


def _styles(studio: Studio) -> Component:
    choices = [Choice(name=s.name, title=s.title, help=s.prompt.replace("{prompt}", "…")) for s in studio.styles()]
    return _menu("style", "Style", "Words put around your prompt.", choices)


_MENUS: dict[str, Callable[[Studio], Component]] = {"preset": _presets, "style": _styles}
