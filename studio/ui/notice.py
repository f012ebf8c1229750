"""One line under the buttons that says what has just happened to the form."""

import itertools
from typing import Any

import gradio as gr

from studio.ui.assets import behaviour

_NUMBERS = itertools.count(1)


class Notice(gr.HTML):
    """`value` is `notice(sentence)`; an empty sentence clears the line."""

    def __init__(self, **props: Any):
        super().__init__(
            value={},
            html_template="<div class='notice-body' role='status'></div>",
            js_on_load=behaviour("notice.js"),
            apply_default_css=False,
            elem_classes=["notice-block"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "a sentence"}


def notice(sentence: str, *, undo: bool = False) -> dict[str, Any]:
    """`undo`: settings were filled in, and what stood in the form before can be had back."""
    return {"sentence": sentence, "undo": undo, "number": next(_NUMBERS)}
