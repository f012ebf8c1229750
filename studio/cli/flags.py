"""Command-line flags made from the fields of the request, the tasks and the parts.

Argparse only collects text; the value classes check it and word the errors. A flag of a task's field chooses the task:
`--image` means image to image. A part is one flag that may be repeated: `--vae NAME`, `--lora NAME,weight=0.8`.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from studio.core.arguments import Parser
from studio.core.errors import InvalidRequest
from studio.core.fields import FieldSpec, specs
from studio.core.parts import PARTS
from studio.core.tasks import TASKS, task_with

__all__ = ["Parser", "add_fields", "add_parts", "add_tasks", "flag_of", "given", "parts_of", "size_of", "task_of"]

StoreImage = Callable[[str], str]  # a file's path -> its hash in the input store

PART = "part:"  # before a part's kind, in argparse's namespace
TASK = "task:"  # before a field's name


def flag_of(spec: FieldSpec) -> str:
    return "--" + (spec.extra.flag or spec.name.replace("_", "-"))


def add_fields(
    parser: argparse.ArgumentParser,
    kind: type[BaseModel],
    *,
    skip: Iterable[str] = (),
    names: Mapping[str, str] | None = None,
) -> None:
    """One flag for each field of `kind`; `names` gives some other spellings. Flags that are not given are absent from the result."""
    for name, spec in specs(kind).items():
        if name not in skip:
            _add(parser, name, spec, (names or {}).get(name, flag_of(spec)))


def add_tasks(parser: argparse.ArgumentParser) -> None:
    """One flag for each field of the tasks on offer; tasks share a flag where they share a field's name."""
    seen: set[str] = set()
    for task in TASKS.values():
        for name, spec in specs(task).items() if task.offered else ():
            if name not in seen:
                _add(parser, TASK + name, spec, flag_of(spec))
            seen.add(name)


def add_parts(parser: argparse.ArgumentParser) -> None:
    for kind, part in PARTS.items():
        if not part.offered:
            continue
        names = list(specs(part))
        syntax = part.syntax or f"{names[0].upper()}" + "".join(f"[,{name}=...]" for name in names[1:])
        flags = dict.fromkeys("--" + name.replace("_", "-") for name in (part.flag or kind, kind))
        more = " May be repeated." if part.many else ""
        parser.add_argument(
            *flags, dest=PART + kind, action="append", default=argparse.SUPPRESS, metavar=syntax, help=part.help + more
        )


def given(arguments: argparse.Namespace, kind: type[BaseModel]) -> dict[str, Any]:
    """The fields of `kind` that the command line set."""
    return {name: value for name, value in vars(arguments).items() if name in kind.model_fields}


def task_of(arguments: argparse.Namespace, store: StoreImage) -> dict[str, Any]:
    """The task that the flags choose: of those that have all given fields, the one with the fewest. Raises InvalidRequest."""
    values = {key.removeprefix(TASK): value for key, value in vars(arguments).items() if key.startswith(TASK)}
    task = task_with(values, lambda name: "--" + name.replace("_", "-"))
    return {"kind": task.model_fields["kind"].default} | _stored(task, values, store)


def parts_of(arguments: argparse.Namespace, store: StoreImage) -> list[dict[str, Any]]:
    """The parts that the flags name, in the order of the table. Raises InvalidRequest."""
    parts = []
    for kind, part in PARTS.items():
        for text in getattr(arguments, PART + kind, ()):
            parts.append({"kind": kind} | _stored(part, part.parse(text), store))
    return parts


def size_of(text: str) -> dict[str, str]:
    """ "1024x768" -> the request's fields; the request checks their range. Raises InvalidRequest."""
    size = re.fullmatch(r"(-?\d{1,9})[xX×](-?\d{1,9})", text)
    if size is None:
        raise InvalidRequest(f"--size must be WIDTHxHEIGHT, like 128x128; got {text[:40]!r}.")
    return {"width": size[1], "height": size[2]}


def _stored(kind: type[BaseModel], values: dict[str, Any], store: StoreImage) -> dict[str, Any]:
    """Pictures are given as files and named by their hashes."""
    pictures = {name for name, spec in specs(kind).items() if spec.kind == "image"}
    return {name: store(value) if name in pictures else value for name, value in values.items()}


def _add(parser: argparse.ArgumentParser, dest: str, spec: FieldSpec, flag: str) -> None:
    metavar = "FILE" if spec.kind == "image" else flag.strip("-").replace("-", "_").upper()
    how: dict[str, Any] = {"action": argparse.BooleanOptionalAction} if spec.kind == "boolean" else {"metavar": metavar}
    if spec.several:
        how["action"] = "append"
    parser.add_argument(flag, dest=dest, default=argparse.SUPPRESS, help=_help(spec), **how)


def _help(spec: FieldSpec) -> str:
    notes = [" | ".join(value for value, _ in spec.choices)] if spec.choices else []
    if spec.range:
        notes.append(spec.range.removeprefix("from "))
    if spec.extra.per_model:
        notes.append("default the model's own")
    elif not (spec.required or spec.default is None or isinstance(spec.default, bool) or spec.default in ("", ())):
        notes.append(f"default {_shown(spec.default)}")
    text = spec.help.strip()
    if notes:
        text = f"{text.rstrip('.')} ({'; '.join(notes)})." if text else "; ".join(notes)
    return text.replace("%", "%%")


def _shown(value: Any) -> str:
    return ", ".join(
        getattr(each, "name", "") or str(each) for each in (value if isinstance(value, tuple) else (value,))
    )
