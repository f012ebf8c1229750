"""What a value says of its own fields: bounds, titles, help, and how form, command line and infotext show each of them.

Form, flags, HTTP errors and infotext are drawn from `specs(kind)` of whichever value they are handed, so a field is
declared once. Knows pydantic and no particular value.
"""

import functools
import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, StringConstraints, ValidationError
from pydantic.fields import FieldInfo

from studio.core.errors import InvalidRequest

Kind = Literal["integer", "number", "text", "boolean", "choice", "image", "model", "values"]
HIDDEN = frozenset({"kind"})  # the discriminator, which no person sets


def _no_boolean(value: Any) -> Any:
    if isinstance(value, bool):  # Python counts True as 1
        raise ValueError("must be a number, not true or false")
    return value


Integer = Annotated[int, BeforeValidator(_no_boolean)]
Number = Annotated[float, BeforeValidator(_no_boolean)]
Name = Annotated[str, StringConstraints(max_length=300)]
# SHA-256 of a picture in the input store.
ImageHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


@dataclass(frozen=True)
class Extra:
    """What pydantic has no word for. Attached to a field by `extra`."""

    per_model: bool = False  # a value that is not given is the model's own
    # "image", "mask", "control": a picture of the input store; "model": the id of a file of `model_kind`; "box": a
    # rectangle that can be drawn; "intent": a choice that sets other fields (`TaskBase.resolved`); "pictures": a folder or zip
    widget: str = ""
    model_kind: str = ""  # "vae", "lora", "controlnet": which files of the catalog the menu lists
    within: str = ""  # the field whose control draws this one too
    stops: tuple[tuple[float, str], ...] = ()  # (value, word) of a number that is chosen in a few plain words
    soft: tuple[float, float, float] | None = None  # (least, most, step) of the slider: the values that people use
    infotext: str = ""  # its key in the AUTOMATIC1111 text; empty: the title
    flag: str = ""  # its flag on the command line, without dashes; empty: the name
    advanced: bool = False  # stands behind a fold
    only: tuple[str, str] | None = None  # (field, value): of no use while that field is not so
    placeholder: str = ""  # what the empty control shows
    choices: tuple[tuple[str, str], ...] = ()  # (value, title) of a choice, where values are no titles
    wide: bool = False  # takes a whole row of the form


def extra(**values: Any) -> dict[str, Any]:
    """For `Field(json_schema_extra=extra(...))`."""
    return {"unnoise": Extra(**values).__dict__}


@dataclass(frozen=True)
class FieldSpec:
    """One field as form, flags and messages need it."""

    name: str
    title: str
    help: str
    kind: Kind
    default: Any
    required: bool
    several: bool  # a tuple of such values
    optional: bool  # None is a value of it: "the model's own", or "off"
    least: float | int | None
    most: float | int | None
    choices: tuple[tuple[str, str], ...]  # (value, title)
    extra: Extra

    @property
    def range(self) -> str:
        """ "from 1 to 1,000", or nothing where it has no bounds."""
        if self.least is None or self.most is None:
            return ""
        most = f"{self.most:,}" if isinstance(self.most, int) else f"{self.most:g}"
        return f"from {self.least:g} to {most}"


@functools.cache
def specs(kind: type[BaseModel]) -> dict[str, FieldSpec]:
    """Every field of a value's class that a person may set, in the order of its declaration."""
    return {name: _spec(name, info) for name, info in kind.model_fields.items() if name not in HIDDEN}


def _spec(name: str, info: FieldInfo) -> FieldSpec:
    plain, optional = _without_none(info.annotation)
    schema = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    more = Extra(**typing.cast(dict[str, Any], schema.get("unnoise", {})))
    values = typing.get_args(plain) if typing.get_origin(plain) is Literal else ()
    bounds = [*info.metadata, *(meta for meta in getattr(plain, "__metadata__", ()))]
    return FieldSpec(
        name=name,
        title=info.title or name.replace("_", " ").capitalize(),
        help=info.description or "",
        kind=_kind(plain, more, bool(values)),
        default=None if info.is_required() else info.get_default(call_default_factory=True),
        required=info.is_required(),
        several=typing.get_origin(plain) is tuple,
        optional=optional,
        least=next((m.ge for m in bounds if getattr(m, "ge", None) is not None), None),
        most=next((m.le for m in bounds if getattr(m, "le", None) is not None), None),
        choices=more.choices or tuple((str(value), str(value).replace("_", " ").capitalize()) for value in values),
        extra=more,
    )


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """(`int`, True) for `int | None`; the annotation itself otherwise."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        others = [each for each in typing.get_args(annotation) if each is not type(None)]
        if len(others) == 1 and len(others) < len(typing.get_args(annotation)):
            return others[0], True
    return annotation, False


def _kind(plain: Any, more: Extra, choice: bool) -> Kind:
    if more.widget in ("image", "mask", "control"):
        return "image"
    if more.widget == "model":
        return "model"
    if choice:
        return "choice"
    base = typing.get_args(plain)[0] if typing.get_origin(plain) is Annotated else plain
    return {int: "integer", float: "number", str: "text", bool: "boolean"}.get(base, "values")  # type: ignore[return-value]


_EXPECTED = {"integer": "a whole number", "number": "a number", "text": "text", "boolean": "true or false"}


def explain(error: ValidationError, kind: type[BaseModel], values: dict[str, Any]) -> InvalidRequest:
    """The first of pydantic's complaints about `kind(**values)` as one sentence and the path of its field.

    The path names where the value was given: "steps", "task.strength", "parts.0.weight".
    """
    first: Any = error.errors(include_url=False, include_context=False)[0]
    where = [str(step) for step in first["loc"]]
    owner, path = _owner(kind, where)
    reason = str(first["msg"]).removeprefix("Value error, ")
    name = path[-1] if path else ""
    field = ".".join(path) or None
    spec = specs(owner).get(name)
    if spec is None:
        if not path:
            return InvalidRequest(f"{_closed(reason)}")
        if name.isdigit():
            return InvalidRequest("Each part must be a set of settings that names its kind.", field=field)
        known = ", ".join(specs(owner))
        return InvalidRequest(f"There is no setting called {name!r}. There are: {known}.", field=field)
    if first["type"].startswith("value_error"):
        return InvalidRequest(f"{spec.title} {_closed(reason)}", field=field)
    if first["type"] == "missing":
        return InvalidRequest(f"{spec.title} is missing.", field=field)
    if first["type"] == "string_too_long":
        return InvalidRequest(f"{spec.title} is longer than anything that is known here.", field=field)
    if first["type"].startswith("union_tag"):
        names = ", ".join(_tags(owner, name))
        return InvalidRequest(f"{spec.title} must name its kind, one of {names}.", field=field)
    return InvalidRequest(f"{spec.title} must be {_expected(spec)}; got {shown(_at(values, path))}.", field=field)


def _owner(kind: type[BaseModel], where: list[str]) -> tuple[type[BaseModel], list[str]]:
    """The class that declares the field at `where`, and the path without the tags of discriminated values."""
    path: list[str] = []
    for step in where:
        inner = (
            _members(kind, path[-1])
            if path and not path[-1].isdigit()
            else _members(kind, path[-2] if len(path) > 1 else "")
        )
        if step in inner:  # a tag: what follows is a field of that value
            kind = inner[step]
            continue
        path.append(step)
    return kind, path


def _members(kind: type[BaseModel], name: str) -> dict[str, type[BaseModel]]:
    """Tag -> class of a field that holds discriminated values; empty for any other."""
    info = kind.model_fields.get(name)
    found: dict[str, type[BaseModel]] = {}
    waiting = [info.annotation] if info else []
    while waiting:
        each = waiting.pop()
        if isinstance(each, type) and issubclass(each, BaseModel) and "kind" in each.model_fields:
            found[str(each.model_fields["kind"].default)] = each
        else:
            waiting += list(typing.get_args(each))
    return found


def _tags(kind: type[BaseModel], name: str) -> list[str]:
    return sorted(_members(kind, name))


def _expected(spec: FieldSpec) -> str:
    if spec.choices:
        return f"one of {', '.join(value for value, _ in spec.choices)}"
    if spec.kind == "image":
        return "a picture that was stored before (its SHA-256 in hexadecimal)"
    return " ".join(word for word in (_EXPECTED.get(spec.kind, "a known value"), spec.range) if word)


def _at(values: Any, path: list[str]) -> Any:
    for step in path:
        if isinstance(values, dict):
            values = values.get(step)
        elif isinstance(values, list | tuple) and step.isdigit() and int(step) < len(values):
            values = values[int(step)]
        else:
            return values
    return values


def _closed(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else sentence + "."


def shown(value: Any) -> str:
    """A value as a message quotes it: never long."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
