"""The Models tab: what is on disk, each file known for what it is or refused with its reason; what is in memory, what it
would need, what moved, and the few things that can be asked of it.

What it shows is drawn by the page (`static/shelf.js`); here are the questions that the page may ask, and their answers.
"""

import logging
from collections.abc import Callable
from typing import Any

import gradio as gr
from pydantic import ValidationError

from studio.core.desk import Desk, MemoryCommand
from studio.core.errors import StudioError
from studio.core.memory import PlanWish
from studio.core.models import MODEL_KINDS, ModelInfo, Override
from studio.ui.assets import behaviour
from studio.ui.registry import TABS, Tab

log = logging.getLogger(__name__)

NAME = "models"
PURPOSE = "The checkpoints on this machine: what each file is, and what of them is in memory."
NONSENSE = {"problem": "The page asked for something that is not known here."}


class Shelf(gr.HTML):
    """Has no value; the page asks when the tab is opened, follows the memory's events, and looks again now and then."""

    def __init__(self, desk: Desk, **props: Any):
        def overview(_: Any) -> dict[str, Any]:
            return current_overview(desk)

        def manage(command: Any) -> dict[str, Any]:
            return managed(desk, command)

        def moves(_: Any) -> dict[str, Any]:
            return latest_moves(desk)

        def plan(wish: Any) -> dict[str, Any]:
            return planned(desk, wish)

        def override(wish: Any) -> dict[str, Any]:
            return overridden(desk, wish)

        super().__init__(
            value="",
            html_template="<div class='shelf-body'></div>",
            js_on_load=behaviour("shelf.js"),
            apply_default_css=False,
            elem_id="shelf",
            elem_classes=["shelf-block"],
            server_functions=[overview, manage, moves, plan, override],
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "none"}


def current_overview(desk: Desk) -> dict[str, Any]:
    """Plain rows for the page; every text in it is shown as text."""

    def answer() -> dict[str, Any]:
        return {
            "purpose": PURPOSE,
            "models": [_plain(info) for info in desk.models()],
            "families": [[family.name, family.title] for family in desk.families()],
            "memory": desk.memory().model_dump(mode="json"),
        }

    return _answered(answer)


def managed(desk: Desk, command: Any) -> dict[str, Any]:
    """Hand a wish of the page to the worker; {} if it was taken, else one sentence."""
    return _answered(lambda: desk.manage(MemoryCommand(**command)))


def latest_moves(desk: Desk) -> dict[str, Any]:
    """The ledger's latest rows, newest first."""
    return _answered(lambda: {"moves": [move.model_dump(mode="json") for move in desk.moves()]})


def planned(desk: Desk, wish: Any) -> dict[str, Any]:
    """Who would be where at each stage, or the arithmetic of why it cannot be."""
    return _answered(lambda: {"plan": desk.plan(PlanWish(**wish)).model_dump(mode="json")})


def overridden(desk: Desk, wish: Any) -> dict[str, Any]:
    """`wish` is {"model": id, "changes": fields of Override}; {} if they are kept, else one sentence."""
    return _answered(lambda: desk.override(str(wish["model"]), Override(**wish["changes"])))


def _answered(answer: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """What the page is told; what it sent may be anything, so whatever goes wrong is a sentence."""
    try:
        return answer() or {}
    except StudioError as error:
        return {"problem": str(error)}
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else ""
        known = first["type"] not in ("missing", "extra_forbidden") and name in (*PlanWish.model_fields, "title")
        return {"problem": f"{name.capitalize()}: {first['msg'].lower()}."} if known else NONSENSE
    except (TypeError, KeyError, AttributeError):
        return NONSENSE
    except Exception:
        log.exception("the Models tab could not answer")
        return {"problem": "The studio made a mistake here; its log says more."}


def _plain(info: ModelInfo) -> dict[str, Any]:
    usable = info.problem is None and info.kind in MODEL_KINDS
    size = f"{info.defaults.width} × {info.defaults.height}" if info.tasks and info.problem is None else ""
    return {
        "id": info.id,
        "title": info.title,
        "kind": info.kind.replace("_", " "),
        "family": info.family or "",
        "variant": info.variant,
        "prediction": info.prediction,
        "facts": [fact for fact in (info.dtype or "", size) if fact],
        "bytes": info.bytes,
        "dtype": info.dtype or "",
        "width": info.defaults.width,
        "height": info.defaults.height,
        "multiple": info.multiple,
        "fixed": info.fixed_size,
        "sha256": info.sha256 or "",
        "description": info.description,
        "preview": info.preview is not None,
        "vae": info.vae or "",
        "overridden": list(info.overridden),
        "problem": info.problem or "",
        "usable": usable,
        "runnable": info.kind in MODEL_KINDS,
    }


def build(desk: Desk, page: gr.Blocks) -> None:
    Shelf(desk)


TABS.add(NAME, Tab("Models", build))
