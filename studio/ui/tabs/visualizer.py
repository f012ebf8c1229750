"""The Visualizer tab: one time cursor through a run, and every view of it at that moment.

The page draws it (`static/visualizer.js`) from the run's events, frames and trace; here it asks which runs there are, and what
is known of one.
"""

from collections.abc import Iterator
from typing import Any

import gradio as gr

from studio.core.jobs import ImageView
from studio.core.options import find_model
from studio.core.parts.branch import Branch
from studio.core.protocol import Studio
from studio.core.samplers import SOLVERS
from studio.ui.answers import answered
from studio.ui.assets import when_opened
from studio.ui.registry import TABS, Tab
from studio.ui.strip import recent_images

NAME = "visualizer"
PURPOSE = "Move through a run step by step, forwards and backwards, and see what each step does."
RELATIVES = 500  # newest pictures among which a run's branches are looked for


class Visualizer(gr.HTML):
    """Has no value; the page asks for the recent runs when the tab is opened, and fetches the one in view once."""

    def __init__(self, studio: Studio, **props: Any):
        def recent(_: Any) -> list[dict[str, Any]]:
            return recent_images(studio)

        def find(image: Any) -> dict[str, Any]:
            return place_of(studio, image)

        def about(job: Any) -> dict[str, Any]:
            return facts_of(studio, job)

        def relatives(image: Any) -> dict[str, Any]:
            return relatives_of(studio, image)

        super().__init__(
            value="",
            html_template="<div class='vis-body'></div>",
            js_on_load=when_opened("visualizer.js", NAME),
            apply_default_css=False,
            elem_id="visualizer",
            elem_classes=["vis-block"],
            server_functions=[recent, find, about, relatives],
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


def relatives_of(studio: Studio, image: Any) -> dict[str, Any]:
    """The tree of branches that a picture belongs to, each after the one it left: {"nodes": [...]}; only itself where it has none."""

    def answer() -> dict[str, Any]:
        own = studio.image(str(image))
        known = {view.sha256: view for view in (*studio.images(limit=RELATIVES), own)}
        root, seen = own, {own.sha256}
        while (part := _branch(root)) and part.image in known and part.image not in seen:
            root = known[part.image]
            seen.add(root.sha256)
        children: dict[str, list[ImageView]] = {}
        for view in sorted(known.values(), key=lambda view: view.created):
            if (part := _branch(view)) and part.image != view.sha256:
                children.setdefault(part.image, []).append(view)
        return {"nodes": list(_nodes(root, 0, children, None))}

    return answered(answer)


def _branch(view: ImageView) -> Branch | None:
    return next((part for part in view.request.parts if isinstance(part, Branch)), None)


def _nodes(
    view: ImageView, depth: int, children: dict[str, list[ImageView]], parent: ImageView | None
) -> Iterator[dict[str, Any]]:
    part = _branch(view)
    words = _changes(view, parent, part) if parent else view.request.prompt or "No prompt"
    step = part.step if part and parent else None
    yield {"id": view.id, "job": view.job, "index": view.index, "step": step, "depth": depth, "words": words}
    for child in children.pop(view.sha256, ()):  # a branch that changes nothing has its parent's pixels
        yield from _nodes(child, depth + 1, children, view)


def _changes(view: ImageView, parent: ImageView, part: Branch | None) -> str:
    """What a branch changed, in words."""
    now, was = view.request, parent.request
    changes = [now.prompt or "no prompt"] if now.prompt != was.prompt else []
    changes += (
        [f"negative prompt: {now.negative_prompt or 'none'}"] if now.negative_prompt != was.negative_prompt else []
    )
    changes += [f"CFG {now.guidance_scale:g}"] if now.guidance_scale != was.guidance_scale else []
    changes += [SOLVERS.get(now.sampler).title] if now.sampler != was.sampler and now.sampler in SOLVERS else []
    changes += [f"noise {part.seed}"] if part and part.seed is not None else []
    return ", ".join(changes) or "nothing changed"


def build(studio: Studio, page: gr.Blocks) -> None:
    Visualizer(studio)


TABS.add(NAME, Tab("Visualizer", group="explore", address="visualizer", build=build))
