"""What a workbench can be used for: one `Mode` a tab. `ModeSwitch` is the mode that is in use, as a value of the page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui.assets import behaviour


@dataclass(frozen=True)
class Mode:
    """`task`: the kind of task that Generate submits; a mode without one leaves the task as it is and shows all parts of the
    kind `part` large. `purpose` and `examples` (prompts) stand on the empty canvas."""

    task: str = ""
    purpose: str = ""
    examples: tuple[str, ...] = ()
    part: str = ""
    also: tuple[str, ...] = ()  # further kinds of parts that are large in it


class ModeSwitch(gr.HTML):
    """`value` is the name of the last mode that has a task, of `creating`; the page sets it when another tab is opened.
    `select`: the workbench is shown again."""

    def __init__(self, creating: Sequence[str] = ("",), **props: Any):
        super().__init__(
            value=creating[0],
            creating=list(creating),
            html_template="",
            js_on_load=behaviour("mode.js"),
            apply_default_css=False,
            elem_classes=["mode-block"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "what the workbench is used for"}


def panel(*modes: str) -> gr.Column:
    """A group of controls that is shown in these modes only."""
    return gr.Column(elem_classes=["mode-panel", *(f"of-{mode}" for mode in modes)])
