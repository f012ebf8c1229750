"""A group of controls that can be folded away, and then says in one line what is set in it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import gradio as gr

from studio.ui.assets import behaviour


class FoldHead(gr.HTML):
    """The line of a fold that opens and closes it. The page remembers which folds are open (`static/fold.js`).

    `summary`: pieces of one line, in which "{name}" stands for what the control of that name is set to and "(s)" for the
    plural of the number before it; a piece whose control says nothing is left out.
    """

    def __init__(
        self, name: str = "", title: str = "", summary: Sequence[str] = (), *, opened: bool = True, **props: Any
    ):
        super().__init__(
            value="",
            html_template="<div class='fold-head'></div>",
            js_on_load=behaviour("fold.js"),
            apply_default_css=False,
            name=name,
            title=title,
            summary=list(summary),
            opened=opened,
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


@contextmanager
def fold(name: str, title: str, *summary: str, opened: bool = True) -> Iterator[None]:
    """Draws what is drawn inside into a fold; `name` is what the page remembers it by."""
    with gr.Column(elem_classes=["fold"]):
        FoldHead(name, title, summary, opened=opened)
        yield
