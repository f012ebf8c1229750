"""The Models tab: what is on disk, each file known for what it is or refused with its reason; what is in memory,
and the few things that can be asked of it."""

from typing import Any

import gradio as gr
from pydantic import ValidationError

from studio.core.desk import Desk, MemoryCommand
from studio.core.errors import StudioError
from studio.core.models import ModelInfo
from studio.ui.assets import behaviour
from studio.ui.registry import TABS, Tab

NAME = "models"
PURPOSE = "The checkpoints on this machine: what each file is, and what of them is in memory."


class Shelf(gr.HTML):
    """Has no value; the page asks `overview` when the tab is opened, and now and then while it is looked at."""

    def __init__(self, desk: Desk, **props: Any):
        def overview(_: Any) -> dict[str, Any]:
            return current_overview(desk)

        def manage(command: Any) -> dict[str, Any]:
            return managed(desk, command)

        super().__init__(
            value="",
            html_template="<div class='shelf-body'></div>",
            js_on_load=behaviour("shelf.js"),
            apply_default_css=False,
            elem_id="shelf",
            elem_classes=["shelf-block"],
            server_functions=[overview, manage],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def current_overview(desk: Desk) -> dict[str, Any]:
    """Plain rows for the page; every text in it is shown as text."""
    try:
        models, memory = desk.models(), desk.memory()
    except StudioError as error:
        return {"problem": str(error)}
    return {
        "purpose": PURPOSE,
        "models": [_plain(info) for info in models],
        "memory": memory.model_dump(mode="json"),
    }


def managed(desk: Desk, command: Any) -> dict[str, Any]:
    """Hand a wish of the page to the worker; {} if it was taken, else one sentence."""
    try:
        desk.manage(MemoryCommand(**command))
    except StudioError as error:
        return {"problem": str(error)}
    except (ValidationError, TypeError):  # what a page sends may be anything
        return {"problem": "The page asked for something that is not known here."}
    return {}


def _plain(info: ModelInfo) -> dict[str, Any]:
    size = f"{info.defaults.width} × {info.defaults.height}" if info.tasks and info.problem is None else ""
    return {
        "id": info.id,
        "title": info.title,
        "kind": info.kind.replace("_", " "),
        "family": info.family or "",
        "marks": [mark for mark in (info.variant, info.dtype or "", size) if mark],
        "bytes": info.bytes,
        "sha256": info.sha256 or "",
        "description": info.description,
        "problem": info.problem or "",
        "usable": info.problem is None and info.kind in ("checkpoint", "diffusers"),
    }


def build(desk: Desk, page: gr.Blocks) -> None:
    Shelf(desk)


TABS.add(NAME, Tab("Models", build))
