"""What is said of the prompt while it is typed: its tokens, what the model cuts off, and the words that it does not know."""

from typing import Any

import gradio as gr

from studio.core.errors import StudioError
from studio.core.protocol import Studio
from studio.ui.assets import behaviour


class PromptWords(gr.HTML):
    """Stands beneath the prompt and marks it (`static/prompt_words.js`)."""

    def __init__(self, studio: Studio | None = None, **props: Any):
        functions = [_reader(studio), _vocabulary(studio)] if studio else []
        super().__init__(
            value="",
            html_template="<div class='prompt-words'></div>",
            js_on_load=behaviour("prompt_words.js"),
            apply_default_css=False,
            server_functions=functions,
            elem_classes=["prompt-words-block"],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def _reader(studio: Studio) -> Any:
    def read_prompt(given: Any) -> dict[str, Any]:
        """Of {"model", "text"}; empty for a model that is not here."""
        try:
            return studio.read_prompt(str(given["model"]), str(given["text"])).model_dump()
        except StudioError:
            return {}

    return read_prompt


def _vocabulary(studio: Studio) -> Any:
    def vocabulary(model: Any) -> dict[str, Any]:
        """{"title", "groups": [[title, words], ...]}: what the model can draw, where its card says so."""
        try:
            info = studio.options(str(model)).model
        except StudioError:
            return {}
        return {"title": info.title, "groups": [[title, words] for title, words in info.vocabulary.items() if title]}

    return vocabulary
