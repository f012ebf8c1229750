"""What a person has set in the form, which the page keeps for the next visit and can step back to (`static/draft.js`)."""

from typing import Any

import gradio as gr

from studio.ui.assets import behaviour


class Draft(gr.HTML):
    """`value`: {"mode", "fields"}, where fields are what stands in the controls by their keys (`Form.controls`).

    `submit`: put the value back into the form. An update with a new `read` says that the form holds what the page kept.
    """

    def __init__(self, read: int = 0, **props: Any):
        super().__init__(
            value={},
            html_template="",
            js_on_load=behaviour("draft.js"),
            apply_default_css=False,
            elem_classes=["draft-block"],
            read=read,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "what is set in the form"}


def kept(workbench: str) -> str:
    """The page's function that gives the draft which it kept at the last visit; the input of what opens the form."""
    return f"() => {{ try {{ return JSON.parse(localStorage.getItem('unnoise-{workbench}-draft')); }} catch {{ return null; }} }}"
