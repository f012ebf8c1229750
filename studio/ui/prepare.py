"""The line under the model menu for a single file that has to be converted before its first picture: how long that takes, and a
button to begin.

Choosing a model in the menu converts nothing. The line is drawn by the page (`static/prepare.js`), which follows the memory.
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
