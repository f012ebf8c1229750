"""The canvas: shows a job as it runs and plays its steps afterwards. Its manners are in `static/canvas.js`.

Python tells it only which job to show, or why a wish was refused; it follows the job's events and fetches the frames
by itself, so a reload, a lost connection or a second tab changes nothing for the job.
"""

import itertools
from typing import Any

import gradio as gr

from studio.core.errors import StudioError
from studio.ui.assets import behaviour

EXAMPLES = (
    "a large red heart, striped yellow background",
    "a yellow star on the left and a blue ring on the right, plain white background",
    "a small house under the moon, snow",
    "a white boat, sea",
)


class Canvas(gr.HTML):
    """`value` is the last thing Python said to it: {"say": "show" | "refuse" | "newest", ..., "number"}."""

    def __init__(self, name: str, *, purpose: str, examples: tuple[str, ...] = (), **props: Any):
        super().__init__(
            value={},
            html_template="<div class='canvas-body'></div>",
            js_on_load=behaviour("canvas.js"),
            apply_default_css=False,
            elem_id=f"canvas-{name}",
            elem_classes=["canvas-block"],
            name=name,
            purpose=purpose,
            examples=list(examples),
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "what the canvas shows"}
    from collections.abc import Callable, Sequence
    from typing import TYPE_CHECKING, Any, Literal

    from gradio.blocks import Block

    if TYPE_CHECKING:
        from gradio.components import Timer
        from gradio.components.base import Component

_NUMBERS = itertools.count(1)

def _said(say: str, **what: Any) -> dict[str, Any]:
    # Numbered, because the page hears only of values that differ from the last one.
    return {"say": say, "number": next(_NUMBERS), **what}

def show(job: str, *, live: bool = False) -> dict[str, Any]:
    """Follow a job that was just submitted; `live`: keep the last image until the new one has something to show."""
    return _said("show", job=job, live=live)

def show_image(job: str, index: int) -> dict[str, Any]:
    """Show one image of an earlier job."""
    return _said("pick", job=job, image=index)

def newest(job: str | None) -> dict[str, Any]:
    """The studio's newest job, for a page that remembers none of its own."""
    return _said("newest", job=job)

def refuse(error: StudioError) -> dict[str, Any]:
    """Say why nothing was submitted, here and at the field."""
    return _said("refuse", message=str(error), field=error.field)
