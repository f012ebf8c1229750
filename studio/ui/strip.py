"""The strip of recent results, newest first. A click shows one on the canvas and brings its settings back."""

from typing import Any

import gradio as gr

from studio.core.errors import StudioError
from studio.core.jobs import ImageView
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
        return [_plain(image) for image in studio.images(limit=LENGTH, favourites=favourites)]
    except StudioError:
        return []  # not worth a message here: the next job will report what is wrong


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
