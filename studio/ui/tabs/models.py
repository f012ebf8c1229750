"""The Models tab: which files are on disk and which of them cannot be used and why; what is in memory, what a run would need,
what moved, and the commands for all of it.

The page draws it (`static/model_browser.js`); here are the questions that the page may ask, and their answers.
"""

from typing import Any

import gradio as gr

from studio.core.errors import StudioError
from studio.core.memory import PlanRequest
from studio.core.models import MODEL_KINDS, ModelInfo, Override
from studio.core.protocol import Studio
from studio.ui.answers import answered, managed
from studio.ui.assets import behaviour
from studio.ui.registry import TABS, Tab

NAME = "models"
PURPOSE = "The checkpoints on this machine: what each file is, and what of them is in memory."


class ModelBrowser(gr.HTML):
    """Has no value; the page asks when the tab is opened, follows the memory, and asks for the files again now and then."""

    def __init__(self, studio: Studio, **props: Any):
        def overview(_: Any) -> dict[str, Any]:
            return current_overview(studio)

        def manage(command: Any) -> dict[str, Any]:
            return managed(studio, command)

        def moves(_: Any) -> dict[str, Any]:
            return latest_moves(studio)

        def plan(request: Any) -> dict[str, Any]:
            return planned(studio, request)

        def override(command: Any) -> dict[str, Any]:
            return overridden(studio, command)

        super().__init__(
            value="",
            html_template="<div class='browser-body'></div>",
            js_on_load=behaviour("model_browser.js"),
            apply_default_css=False,
            elem_id="model_browser",
            elem_classes=["browser-block"],
            server_functions=[overview, manage, moves, plan, override],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def current_overview(studio: Studio) -> dict[str, Any]:
    """Plain rows for the page; every text in it is shown as text."""

    def answer() -> dict[str, Any]:
        return {
            "purpose": PURPOSE,
            "models": [_plain(info) for info in sorted(studio.models(), key=lambda info: info.kind not in MODEL_KINDS)],
            "families": [[family.name, family.title] for family in studio.families()],
            "memory": studio.memory().model_dump(mode="json"),
            "least": least_budget(studio),
        }

    return answered(answer)


def least_budget(studio: Studio) -> int:
    """Bytes that the smallest usable model takes, which is the least budget that makes sense; 0 where none is known."""
    usable = (info for info in studio.models() if info.problem is None and info.kind in MODEL_KINDS)
    smallest = sorted(usable, key=lambda info: info.bytes)[
        :2
    ]  # what is smaller on disk may take a little more in memory
    peaks = []
    for info in smallest:
        try:
            peaks.append(studio.plan(PlanRequest(model=info.id, dtype="fp32")).peak)
        except StudioError:
            continue
    return min(peaks, default=0)


def latest_moves(studio: Studio) -> dict[str, Any]:
    """The ledger's latest rows, newest first."""
    return answered(lambda: {"moves": [move.model_dump(mode="json") for move in studio.moves()]})


def planned(studio: Studio, request: Any) -> dict[str, Any]:
    """Which component would be where at each stage, or the arithmetic of why it does not fit."""
    return answered(lambda: {"plan": studio.plan(PlanRequest(**request)).model_dump(mode="json")})


def overridden(studio: Studio, command: Any) -> dict[str, Any]:
    """`command` is {"model": id, "changes": fields of Override}; {} if they were stored, else one sentence."""
    return answered(lambda: studio.override(str(command["model"]), Override(**command["changes"])))


def _plain(info: ModelInfo) -> dict[str, Any]:
    usable = info.problem is None and info.kind in MODEL_KINDS
    size = f"{info.defaults.width} × {info.defaults.height}" if info.capabilities.tasks and info.problem is None else ""
    return {
        "id": info.id,
        "title": info.title,
        "kind": info.kind.replace("_", " "),
        "family": info.family or "",
        "variant": info.variant,
        "prediction": info.capabilities.prediction,
        "facts": [fact for fact in (info.dtype or "", size) if fact],
        "bytes": info.bytes,
        "dtype": info.dtype or "",
        "width": info.defaults.width,
        "height": info.defaults.height,
        "enlargers": [enlarger.title for enlarger in info.cascade.enlargers] if info.cascade else [],
        "multiple": info.capabilities.multiple,
        "fixed": info.capabilities.fixed_size,
        "sha256": info.sha256 or "",
        "description": info.description,
        "preview": info.preview is not None,
        "vae": info.vae or "",
        "overridden": list(info.overridden),
        "hidden": info.hidden,
        "problem": info.problem or "",
        "usable": usable,
        "runnable": info.kind in MODEL_KINDS,
    }


def build(studio: Studio, page: gr.Blocks) -> None:
    ModelBrowser(studio)


TABS.add(NAME, Tab("Models", group="keep", address="models", build=build))
