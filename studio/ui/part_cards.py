"""The parts of a request as one control: a group for each kind, with a card for each part (`static/part_cards.js`).

Its value is the list of cards, {"kind", "on", and what stands in the control of each field}. Groups are drawn from the
fields that a kind declares (`core.parts.PARTS`), so a new kind needs nothing here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from studio.core.fields import specs
from studio.core.models import MODEL_KINDS, ModelInfo
from studio.core.options import ability
from studio.core.parts import PARTS, PartBase
from studio.core.protocol import Studio
from studio.ui.assets import behaviour
from studio.ui.fields import MISSING, PROPERTIES, control, standing, typed
from studio.ui.model_controls import file_choices, fitting_files
from studio.ui.stages import upper_values

# What stands in the empty controls of a part, where its model knows.
_OWN_VALUES: dict[str, Callable[[ModelInfo], dict[str, str]]] = {"cascade": upper_values}


class PartCards(gr.HTML):
    """`groups` as the function below makes them for the chosen model. `large`: mode of the workbench -> kinds drawn large."""

    def __init__(self, groups: list[dict[str, Any]], large: Mapping[str, tuple[str, ...]], **props: Any):
        super().__init__(
            value=[],
            html_template="<div class='parts'></div>",
            js_on_load=behaviour("part_cards.js"),
            apply_default_css=False,
            elem_classes=["parts-block"],
            groups=groups,
            large={mode: list(kinds) for mode, kinds in large.items()},
            **props,
        )

    def api_info(self) -> dict[str, Any]:
        return {"type": {}, "description": "the parts of a request"}


def groups(studio: Studio, model: ModelInfo | None) -> list[dict[str, Any]]:
    """How the page draws each kind of part for this model."""
    return [_group(studio, kind, part, model) for kind, part in PARTS.items() if part.offered]


def _group(studio: Studio, kind: str, part: type[PartBase], model: ModelInfo | None) -> dict[str, Any]:
    own = _OWN_VALUES[kind](model) if model and kind in _OWN_VALUES else {}
    controls = []
    for name, spec in specs(part).items():
        drawn = PROPERTIES | control(spec)
        drawn |= {
            "field": name,
            "value": standing(spec, spec.default),
            "advanced": spec.extra.advanced,
            "within": spec.extra.within,
        }
        drawn["placeholder"] = own.get(name, spec.extra.placeholder)
        if drawn["kind"] == "mask":
            drawn["over"] = next((n for n, other in specs(part).items() if other.extra.widget == "control"), "")
            drawn["drawable"] = not drawn["over"]
        if drawn["kind"] == "control":
            drawn["annotators"] = [view.model_dump() for view in studio.annotators()]
        if spec.kind == "model":
            drawn["choices"] = file_choices(studio, spec.extra.model_kind, model) if model else []
            drawn["empty"] = f"No {spec.title} here that fits"
        controls.append(drawn)
    return {
        "kind": kind,
        "title": part.title,
        "plural": part.plural,
        "help": part.help,
        "many": part.many,
        "inline": _inline(part),
        "rows": part.rows,
        "files": [_row(part, file) for file in fitting_files(studio, part.model_kind, model)]
        if part.rows and model
        else [],
        "locked": "" if model is None or _taken(kind, model) else f"{model.title} takes no {part.plural}.",
        "other": [] if model is None or _taken(kind, model) else _another(studio, kind, part),
        "fields": controls,
    }


def _another(studio: Studio, kind: str, part: type[PartBase]) -> list[str]:
    """Id and title of a model that takes this kind of part, rather one that a file here fits; empty where there is none."""
    usable = (info for info in studio.models() if info.kind in MODEL_KINDS and info.problem is None and not info.hidden)
    able = [info for info in usable if _taken(kind, info)]
    best = max(
        able, key=lambda info: (bool(fitting_files(studio, part.model_kind, info)), *ability(info)), default=None
    )
    return [best.id, best.title] if best else []


def _row(part: type[PartBase], file: ModelInfo) -> dict[str, Any]:
    """What the kind's own tab shows of a file that could be used."""
    return {
        "name": file.id,
        "title": file.title,
        "description": file.description,
        "trained": file.trained,
        "words": list(part.words(file)),
        "preview": file.preview is not None,
    }


def _inline(part: type[PartBase]) -> bool:
    """Whether its fields stand in the form without a card: there is one at most, and with nothing in them there is none."""
    return not part.many and all(spec.optional and spec.default is None for spec in specs(part).values())


def _taken(kind: str, model: ModelInfo) -> bool:
    return kind in model.capabilities.parts


def read(cards: Any, model: ModelInfo | None) -> list[Any]:
    """The parts that the cards ask for: those that are on and that the model takes, in their order. The page sends `cards`,
    so what is no card is kept for the request to refuse."""
    found: list[Any] = []
    for card in cards or ():
        kind = str(card.get("kind")) if isinstance(card, dict) else ""
        if (part := PARTS.get(kind)) is None:
            found.append(card)
        elif _sent(part, kind, card, model):
            values = {name: typed(spec, card.get(name, spec.default)) for name, spec in specs(part).items()}
            found.append({"kind": kind} | {name: value for name, value in values.items() if value is not MISSING})
    return found


def _sent(part: type[PartBase], kind: str, card: dict[str, Any], model: ModelInfo | None) -> bool:
    if not card.get("on", True) or (model is not None and not _taken(kind, model)):
        return False
    return not _inline(part) or any(card.get(name) not in (None, "") for name in specs(part))


def known(cards: Any) -> list[dict[str, Any]]:
    """Of cards that a page kept, those of kinds that there are, with a value for each field."""
    found = []
    for card in cards if isinstance(cards, list) else ():
        if isinstance(card, dict) and (part := PARTS.get(str(card.get("kind")))) is not None:
            fields = {name: standing(spec, spec.default) for name, spec in specs(part).items()}
            found.append({"on": True} | fields | {name: card[name] for name in card if name in {"kind", "on", *fields}})
    return found


def cards(parts: Any) -> list[dict[str, Any]]:
    """The inverse of `read`: a card for each part that has cards, given as the values of its fields."""
    found = []
    for values in parts:
        if not PARTS[values["kind"]].offered:
            continue
        fields = specs(PARTS[values["kind"]])
        standings = {name: standing(spec, values.get(name, spec.default)) for name, spec in fields.items()}
        found.append({"kind": values["kind"], "on": True} | standings)
    return found
