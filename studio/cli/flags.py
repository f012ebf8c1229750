"""Draws command-line flags from pydantic models, so that bounds, titles and help are declared once.

Argparse only collects text here; what a value may be is the model's to say, in its own sentence.
"""

import argparse
import re
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from studio.core.arguments import Parser
from studio.core.errors import InvalidRequest

__all__ = ["Parser", "add_fields", "flag_of", "given", "size_of"]


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def add_fields(
    parser: argparse.ArgumentParser,
    model: type[BaseModel],
    *,
    skip: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> None:
    """One flag for each field of `model`; `names` spells some differently. A flag that is not given is not in the result."""
    for name, info in model.model_fields.items():
        if name not in skip:
            flag = (names or {}).get(name, flag_of(name))
            parser.add_argument(flag, dest=name, default=argparse.SUPPRESS, help=_help(info), **_kind(info, flag))


def given(arguments: argparse.Namespace, model: type[BaseModel]) -> dict[str, Any]:
    """The fields of `model` that the command line set."""
    return {name: value for name, value in vars(arguments).items() if name in model.model_fields}


def size_of(text: str) -> dict[str, str]:
    """ "1024x768" -> the request's fields; what they may be is the request's to say. Raises InvalidRequest."""
    size = re.fullmatch(r"(-?\d{1,9})[xX×](-?\d{1,9})", text)
    if size is None:
        raise InvalidRequest(f"--size must be WIDTHxHEIGHT, like 128x128; got {text[:40]!r}.")
    return {"width": size[1], "height": size[2]}


def _kind(info: FieldInfo, flag: str) -> dict[str, Any]:
    if info.annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    metavar = flag.strip("-").replace("-", "_").upper()
    if typing.get_origin(info.annotation) is tuple:
        return {"action": "append", "metavar": metavar}
    return {"metavar": metavar}


def _help(info: FieldInfo) -> str:
    choices = typing.get_args(info.annotation) if typing.get_origin(info.annotation) is typing.Literal else ()
    least = next((m.ge for m in info.metadata if getattr(m, "ge", None) is not None), None)
    most = next((m.le for m in info.metadata if getattr(m, "le", None) is not None), None)
    notes = []
    if choices:
        notes.append(" | ".join(map(str, choices)))
    if least is not None and most is not None:
        notes.append(f"{least:g} to {most:,}")
    default = _shown_default(info)
    if default:
        notes.append(f"default {default}")
    text = (info.description or info.title or "").strip()
    if notes:
        text = f"{text.rstrip('.')} ({'; '.join(notes)})." if text else "; ".join(notes)
    return text.replace("%", "%%")


def _shown_default(info: FieldInfo) -> str:
    if isinstance(info.json_schema_extra, dict) and info.json_schema_extra.get("per_model"):
        return "the model's own"
    value = info.get_default(call_default_factory=False)
    if value is None or isinstance(value, bool) or value == "" or info.is_required():
        return ""
    values = value if isinstance(value, tuple) else (value,)
    return ", ".join(getattr(v, "name", None) or str(v) for v in values)
