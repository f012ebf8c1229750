"""The strip of recent results and stopped runs, newest first. A click shows one on the canvas and brings its settings back."""

from typing import Any

import gradio as gr

from studio.core.errors import StudioError
from studio.core.frames import X0
from studio.core.jobs import ImageView, StoppedRun
from studio.core.protocol import Studio
from studio.ui.assets import behaviour

LENGTH = 60


class Strip(gr.HTML):
    """`value` is the list of images. The page asks for it again (`recent`) when an image was made."""

    def __init__(self, studio: Studio, **props: Any):
        def recent(favourites: Any) -> list[dict[str, Any]]:
            return recent_images(studio, favourites=bool(favourites))

        super().__init__(
            value=[],
            html_template="<div class='strip-body'></div>",
            js_on_load=behaviour("strip.js"),
            apply_default_css=False,
            elem_classes=["strip-block"],
            server_functions=[recent],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "recent images"}


def recent_images(studio: Studio, *, favourites: bool = False) -> list[dict[str, Any]]:
    try:
        images = studio.images(limit=LENGTH, favourites=favourites)
        stopped = [] if favourites else studio.stopped()
        if len(images) == LENGTH:  # what was stopped before the oldest listed image is as old
            stopped = [run for run in stopped if run.ended > images[-1].created]
        results = [(image.created, _plain(image)) for image in images] + [
            (run.ended, _last_step(run)) for run in stopped
        ]
        return [result for _, result in sorted(results, key=lambda result: result[0], reverse=True)]
    except StudioError:
        return []  # not worth a message here: the next job will report what is wrong


def _last_step(run: StoppedRun) -> dict[str, Any]:
    return {
        "id": f"stopped-{run.job}",
        "job": run.job,
        "index": run.image,
        "seed": str(run.request.seed + run.image),
        "prompt": run.request.prompt,
        "stopped": f"stopped at step {run.step + 1} of {run.total}",
        "picture": f"frames/{run.job}/{run.image}/{run.step}.jpg?kind={X0.name}",
    }


def _plain(image: ImageView) -> dict[str, Any]:
    return {
        "id": image.id,
        "job": image.job,
        "index": image.index,
        "seed": str(image.seed),  # past what a float holds in some readers
        "width": image.width,
        "height": image.height,
        "prompt": image.request.prompt,
        "favourite": image.favourite,
    }
