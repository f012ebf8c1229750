"""The 2-D laboratory: a density in the plane, a model of it that is trained while one watches, and its score and paths.

The page draws it (`static/lab.js`) and evaluates the model itself; the server gives it runs and their weights.
"""

from typing import Any

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.assets import when_opened
from studio.ui.registry import TABS, Tab

NAME = "laboratory"
PURPOSE = "Diffusion in the plane, where the true score is known: train, move through time, drag a point."


class Laboratory(gr.HTML):
    """Has no value; the page asks for the runs of 2-D densities when the tab is opened."""

    def __init__(self, **props: Any):
        super().__init__(
            value="",
            html_template="<div class='lab-body'></div>",
            js_on_load=when_opened("lab.js", NAME),
            apply_default_css=False,
            elem_id="laboratory",
            elem_classes=["lab-block"],
            purpose=PURPOSE,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def build(studio: Studio, page: gr.Blocks) -> None:
    Laboratory()


TABS.add(NAME, Tab("2-D lab", group="explore", address="laboratory", build=build))
