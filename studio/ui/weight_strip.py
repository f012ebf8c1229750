"""One picture at several weights of a part, side by side: a job for each, through the queue (`static/weight_strip.js`)."""

import itertools
import secrets
from collections.abc import Sequence
from typing import Any

import gradio as gr

from studio.core.errors import InvalidRequest
from studio.core.protocol import Studio
from studio.core.request import RANDOM_SEED, GenerationRequest, parse_request
from studio.ui.assets import behaviour

MOST = 12  # weights at once
_NUMBERS = itertools.count(1)


class WeightStrip(gr.HTML):
    """`value` is {"number", "title", "pictures": [{"job", "weight"}]}. `select`: a picture was clicked."""

    def __init__(self, **props: Any):
        super().__init__(
            value={},
            html_template="<div class='weights-body'></div>",
            js_on_load=behaviour("weight_strip.js"),
            apply_default_css=False,
            elem_classes=["weights-block"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "pictures at several weights"}


def queued(studio: Studio, request: GenerationRequest, place: int, weights: Sequence[Any]) -> dict[str, Any]:
    """Queue the request once for each weight of its part at `place`, all with one seed; what the strip shows then.

    Raises InvalidRequest, and what `submit` raises.
    """
    if not 0 <= place < len(request.parts):
        raise InvalidRequest("The chosen model does not take this.", field="parts")
    seed = request.seed if request.seed != RANDOM_SEED else secrets.randbelow(2**32)
    requests = []
    for weight in weights[:MOST]:
        parts = [part.model_dump() for part in request.parts]
        parts[place] |= {"weight": weight}
        requests.append(parse_request(request.model_dump() | {"parts": parts, "seed": seed, "count": 1}))
    pictures = [
        {"job": studio.submit(one), "weight": f"{weight:g}"} for one, weight in zip(requests, weights, strict=False)
    ]
    name = str(parts[place].get("model", "")).rpartition("/")[2] if requests else ""
    return {"number": next(_NUMBERS), "title": name, "pictures": pictures}
