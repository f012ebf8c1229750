"""What a workbench can be used for: one `Mode` a tab. `ModeSwitch` is the mode that is in use, as a value of the page."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from studio.ui.assets import behaviour


@dataclass(frozen=True)
class Mode:
    """`task`: the kind of task that Generate submits. `purpose` and `examples` (prompts) stand on the empty canvas."""

    task: str
    purpose: str
    examples: tuple[str, ...] = ()


class ModeSwitch(gr.HTML):
    """`value` is the mode's name, which the page sets when another tab is opened. `select`: the workbench is shown again."""

    def __init__(self, value: str = "", **props: Any):
        super().__init__(
            value=value,
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
