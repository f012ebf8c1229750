"""The canvas: shows a job as it runs and plays its steps afterwards (`static/canvas.js`).

Python sends it only which job to show, or why a request was refused. The script follows the job's events and fetches its frames
by itself, so a reload, a lost connection or a second page changes nothing for the job.
"""

import itertools
from dataclasses import asdict
from typing import Any

import gradio as gr

from studio.core.errors import StudioError
from studio.core.frames import FRAMES, XT
from studio.ui.assets import behaviour


class Canvas(gr.HTML):
    """`value` is the last message to it: {"kind": "show" | "pick" | "newest" | "refuse", ..., "number"}.

    `modes`: name -> the fields of a `Mode`, for the words on the empty canvas.
    """

    def __init__(self, modes: dict[str, dict[str, Any]], *, follows_newest: bool = True, **props: Any):
        super().__init__(
            value={},
            html_template="<div class='canvas-body'></div>",
            js_on_load=behaviour("canvas.js"),
            apply_default_css=False,
            elem_classes=["canvas-block"],
            modes=modes,
            frames=[asdict(kind) for _, kind in FRAMES.items()],
            first_frame=XT.name,  # a picture comes out of its noise, until a person chooses otherwise
            follows_newest=follows_newest,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "what the canvas shows"}


_NUMBERS = itertools.count(1)


def _message(kind: str, **content: Any) -> dict[str, Any]:
    # Numbered, because the page is notified only of values that differ from the last one.
    return {"kind": kind, "number": next(_NUMBERS), **content}


def show(job: str, *, live: bool = False) -> dict[str, Any]:
    """Follow a job that was just submitted; `live`: keep the last image until the new one has something to show."""
    return _message("show", job=job, live=live)


def show_image(job: str, index: int) -> dict[str, Any]:
    """Show one image of an earlier job."""
    return _message("pick", job=job, image=index)


def newest(job: str | None) -> dict[str, Any]:
    """The studio's newest job, for a page that remembers none of its own."""
    return _message("newest", job=job)


def refuse(error: StudioError) -> dict[str, Any]:
    """Say why nothing was submitted, here and at the field."""
    return _message("refuse", message=str(error), field=error.field)
