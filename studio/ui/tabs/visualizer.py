"""The Visualizer tab: one time cursor through a run, and every view of it at that moment.

The page draws it (`static/visualizer.js`) from the run's events, frames and trace; here it asks which runs there are, and what
is known of one.
"""

from typing import Any

import gradio as gr

from studio.core.options import find_model
from studio.core.protocol import Studio
from studio.core.samplers import SOLVERS
from studio.ui.answers import answered
from studio.ui.assets import behaviour
from studio.ui.registry import TABS, Tab
from studio.ui.strip import recent_images

NAME = "visualizer"
PURPOSE = "Move through a run step by step, forwards and backwards, and see what each step does."


class Visualizer(gr.HTML):
    """Has no value; the page asks for the recent runs when the tab is opened, and fetches the one in view once."""

    def __init__(self, studio: Studio, **props: Any):
        def recent(_: Any) -> list[dict[str, Any]]:
            return recent_images(studio)

        def find(image: Any) -> dict[str, Any]:
            return place_of(studio, image)

        def about(job: Any) -> dict[str, Any]:
            return facts_of(studio, job)

        super().__init__(
            value="",
            html_template="<div class='vis-body'></div>",
            js_on_load=behaviour("visualizer.js"),
            apply_default_css=False,
            elem_id="visualizer",
            elem_classes=["vis-block"],
            server_functions=[recent, find, about],
            purpose=PURPOSE,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def place_of(studio: Studio, image: Any) -> dict[str, Any]:
    """Which job made an archived picture, and which of its images it is."""

    def answer() -> dict[str, Any]:
        view = studio.image(str(image))
        return {"id": view.id, "job": view.job, "index": view.index}

    return answered(answer)


def facts_of(studio: Studio, job: Any) -> dict[str, Any]:
    """What the formulas of a run need beside its events: what its model predicts, and how its sampler steps.

    `prediction` is "" where the model is no longer here.
    """

    def answer() -> dict[str, Any]:
        request = studio.job(str(job)).request
        solver = SOLVERS.get(request.sampler) if request.sampler in SOLVERS else None
        facts = {
            "model": request.model,
            "prediction": "",
            "sampler": solver.title if solver else "the model's own",
            "sampler_help": solver.help if solver else "",
            "evaluations": solver.evaluations if solver else 1,
            "stochastic": bool(solver and solver.stochastic),
        }
        found = answered(lambda: {"model": find_model(studio.models(), request.model)})
        if "model" in found:
            facts |= {"model": found["model"].title, "prediction": found["model"].capabilities.prediction}
        return facts

    return answered(answer)


def build(studio: Studio, page: gr.Blocks) -> None:
    Visualizer(studio)


TABS.add(NAME, Tab("Visualizer", group="explore", address="visualizer", build=build))
