"""The Samplers tab: several samplers from one noise, and how far each is from the exact solution within so many evaluations.

The page draws it (`static/race.js`) from the HTTP routes of races.
"""

from typing import Any

import gradio as gr

from studio.core.protocol import Studio
from studio.ui.assets import when_opened
from studio.ui.registry import TABS, Tab

NAME = "samplers"
PURPOSE = (
    "Race samplers from one noise, on a prompt and a model of yours, and see which is closest to the exact solution."
)


class SamplerRace(gr.HTML):
    """Has no value; the page asks for the menu and the races when the tab is opened, and follows the race in view."""

    def __init__(self, studio: Studio, **props: Any):
        super().__init__(
            value="",
            html_template="<div class='race-body'></div>",
            js_on_load=when_opened("race.js", NAME),
            apply_default_css=False,
            elem_id="race",
            elem_classes=["race-block"],
            purpose=PURPOSE,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def build(studio: Studio, page: gr.Blocks) -> None:
    SamplerRace(studio)


TABS.add(NAME, Tab("Samplers", group="explore", address="samplers", build=build))
