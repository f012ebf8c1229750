"""Several pictures, or a folder of them, in place of the one to start from: a job for each (`static/folder_batch.js`)."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from studio.core.errors import InvalidRequest
from studio.core.protocol import Studio
from studio.core.request import GenerationRequest
from studio.ui.assets import behaviour

MOST = 500  # pictures at once
TASK = "image_to_image"  # the task that can be done with each picture of a folder
_NUMBERS = itertools.count(1)


class FolderBatch(gr.HTML):
    """`value` is {"number", "jobs": [{"job", "name"}]}. `select`: the pictures are to be made; they are stored already."""

    def __init__(self, **props: Any):
        super().__init__(
            value={},
            most=MOST,
            html_template="<div class='batch-body'></div>",
            js_on_load=behaviour("folder_batch.js"),
            apply_default_css=False,
            elem_classes=["batch-block"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "pictures to start from, one job each"}


def queued(
    studio: Studio, request_of: Callable[[str], GenerationRequest], pictures: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Queue a job for each of the stored pictures ({"id", "name"}), in their order. Raises InvalidRequest before the first is
    queued where the form's other settings are wrong, and what `submit` raises."""
    if len(pictures) > MOST:
        raise InvalidRequest(f"That is {len(pictures)} pictures; {MOST} at once are possible.", field="task.image")
    requests = [(str(each["name"])[:200], request_of(str(each["id"]))) for each in pictures]
    return {
        "number": next(_NUMBERS),
        "jobs": [{"job": studio.submit(request), "name": name} for name, request in requests],
    }
