"""The slim bar on top: the studio's name, the tabs, the model in use, memory against its budget, and the queue."""

from typing import Any

import gradio as gr

from studio.ui.assets import behaviour
from studio.ui.registry import GROUPS


class Bar(gr.HTML):
    """Has no value; its script opens the tabs and follows the studio's state. `tabs` are dicts, as the shell makes them."""

    def __init__(self, tabs: list[dict[str, Any]], **props: Any):
        super().__init__(
            value="",
            html_template="<div class='bar-body'></div>",
            js_on_load=behaviour("bar.js"),
            apply_default_css=False,
            elem_id="bar",
            elem_classes=["bar-block"],
            tabs=tabs,
            groups=list(GROUPS.items()),
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}
