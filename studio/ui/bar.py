"""The slim bar on top: the studio's name, the model in use, memory against its budget, and the queue."""

from typing import Any

import gradio as gr

from studio.ui.assets import behaviour


class Bar(gr.HTML):
    """Has no value; its script hears from the studio how things stand."""

    def __init__(self, **props: Any):
        super().__init__(
            value="",
            html_template="<div class='bar-body'></div>",
            js_on_load=behaviour("bar.js"),
            apply_default_css=False,
            elem_id="bar",
            elem_classes=["bar-block"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}
