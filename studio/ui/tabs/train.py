"""The Train tab: a run is started from a recipe, watched, paused, gone on with, and its model put among the others.

The page draws it (`static/train.js`) from the HTTP routes of runs; here is the form that a recipe is changed in.
"""

from typing import Any

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.assets import when_opened
from studio.ui.registry import TABS, Tab

NAME = "train"
PURPOSE = "Train a small model from nothing, or a LoRA on your own pictures, on this machine, and watch it learn."


class Trainer(gr.HTML):
    """Has no value; the page asks for recipes and runs when the tab is opened, and follows the run in view."""

    def __init__(self, studio: Studio, **props: Any):
        super().__init__(
            value="",
            html_template="<div class='train-body'></div>",
            js_on_load=when_opened("train.js", NAME),
            apply_default_css=False,
            elem_id="trainer",
            elem_classes=["train-block"],
            purpose=PURPOSE,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def build(studio: Studio, page: gr.Blocks) -> None:
    Trainer(studio)


TABS.add(NAME, Tab("Train", group="train", address="train", build=build))
