"""The line under the model's menu that a single file has until it is converted: how long that takes, and one click to begin.

Browsing the menu converts nothing. What it shows is drawn by the page (`static/prepare.js`), which hears of the memory.
"""

from typing import Any

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.answers import answered, managed
from studio.ui.assets import behaviour


class Prepare(gr.HTML):
    """Has no value; its script asks when another model is chosen."""

    def __init__(self, studio: Studio, **props: Any):
        def needed(model: Any) -> dict[str, Any]:
            return seconds_needed(studio, model)

        def manage(command: Any) -> dict[str, Any]:
            return managed(studio, command)

        super().__init__(
            value="",
            html_template="<div class='prepare-body'></div>",
            js_on_load=behaviour("prepare.js"),
            apply_default_css=False,
            elem_classes=["prepare-block"],
            server_functions=[needed, manage],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def seconds_needed(studio: Studio, model: Any) -> dict[str, Any]:
    """{"seconds": what converting the model takes, about, or None for one that needs none}."""
    return answered(lambda: {"seconds": studio.import_seconds(str(model))})
