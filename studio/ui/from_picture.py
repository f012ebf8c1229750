"""The button that takes a picture for the settings in it; a picture dropped on the workbench goes the same way."""

from typing import Any

import gradio as gr

from studio.ui.assets import behaviour


class FromPicture(gr.HTML):
    """`select`: the studio has read a picture's settings. They are the event's `settings`, JSON as text, since a number of
    JavaScript does not hold every seed."""

    def __init__(self, **props: Any):
        super().__init__(
            value="",
            html_template="<div class='from-picture'></div>",
            js_on_load=behaviour("from_picture.js"),
            apply_default_css=False,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "settings of a picture"}
