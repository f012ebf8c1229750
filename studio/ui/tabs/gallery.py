"""The Gallery tab: every picture that the studio made, to search, compare, keep, send on and delete.

The page draws it (`static/gallery.js`) from the HTTP routes of the gallery.
"""

from typing import Any

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.assets import when_opened
from studio.ui.registry import TABS, Tab

NAME = "gallery"


class Gallery(gr.HTML):
    """Has no value; the page asks for pictures when the tab is opened."""

    def __init__(self, **props: Any):
        super().__init__(
            value="",
            html_template="<div class='gallery-body'></div>",
            js_on_load=when_opened("gallery.js", NAME),
            apply_default_css=False,
            elem_id="gallery",
            elem_classes=["gallery-block"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def build(studio: Studio, page: gr.Blocks) -> None:
    Gallery()


TABS.add(NAME, Tab("Gallery", group="keep", address="gallery", build=build))
