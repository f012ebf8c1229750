"""A sentence beneath width and height where they are far from the size that the model is made for. Nothing is refused."""

from typing import Any

import gradio as gr

from studio.core.options import size_advice
from studio.core.protocol import Studio
from studio.ui.assets import behaviour
from studio.ui.model_controls import known_options


class SizeNote(gr.HTML):
    """Follows the controls of its workbench (`static/size_note.js`)."""

    def __init__(self, studio: Studio | None = None, **props: Any):
        super().__init__(
            value="",
            html_template="<p class='field-note' role='status'></p>",
            js_on_load=behaviour("size_note.js"),
            apply_default_css=False,
            server_functions=[_advisor(studio)] if studio else [],
            elem_classes=["size-note"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def _advisor(studio: Studio) -> Any:
    def advise(given: Any) -> str:
        """Of {"model", "width", "height"} as they stand in the controls; an empty size is the model's own."""
        options = known_options(studio, str(given["model"]))
        if options is None:
            return ""
        try:
            width, height = (int(given[name] or getattr(options.model.defaults, name)) for name in ("width", "height"))
        except ValueError:
            return ""
        return size_advice(options.model, width, height)

    return advise
