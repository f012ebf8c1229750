"""What a pipeline class of the installed diffusers tells of itself, read from its source rather than by importing it.

That keeps torch out of the process that lists models. Knows Python's syntax and diffusers' folders; what follows from
what it reads is for families to say.
"""

import ast
import functools
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NEEDED = object()  # the default of a parameter that has none
COMPUTED = object()  # a default that is no plain value
OPTIONAL = re.compile(r"_optional_components = \[(?P<names>[^\]]*)\]")
CLASS = re.compile(r"^class (\w+)\b", re.MULTILINE)


@dataclass(frozen=True)
class Source:
    """`call`: the parameters of its call with their defaults; `parts`: those of its constructor, in order; `text`: its own
    source and that of the pipelines that it is made of."""

    call: dict[str, Any]
    parts: tuple[str, ...]
    text: str
    lists_generators: bool  # takes one generator an image
    needs: dict[str, str] = field(default_factory=dict)  # parts that it cannot be made without -> their class

    def calls_with(self, method: str, keyword: str) -> bool:
        """Whether it calls `scheduler.<method>` with this keyword, whatever the scheduler takes."""
        pattern = rf"scheduler\.{method}\((?:[^()]|\([^()]*\))*?\b{keyword}\s*="
        return re.search(pattern, self.text) is not None


@functools.cache
def source_of(pipeline: str) -> Source | None:
    """None if diffusers has no such pipeline, or one without a call of its own."""
    found = _class(pipeline, "pipelines/**/pipeline_*.py")
    if found is None:
        return None
    node, text = found
    call, init = _method(node, text, "__call__"), _method(node, text, "__init__")
    if call is None:
        return None
    parts = tuple(_parameters(init)) if init else ()
    inner = [source_of(name) for name in _pipelines_made_in(init)] if init else []
    whole = "\n".join([_segment(node, text), *(source.text for source in inner if source)])
    parameters = _parameters(call)
    annotation = next(
        (ast.unparse(a.annotation) for a in _arguments(call) if a.arg == "generator" and a.annotation), ""
    )
    return Source(parameters, parts, whole, "list" in annotation.lower(), _needs(init, _segment(node, text)))


@functools.cache
def step_parameters(scheduler: str) -> frozenset[str]:
    """Names of the parameters of a scheduler's `step`; empty if diffusers has no such scheduler."""
    found = _class(scheduler, "schedulers/scheduling_*.py")
    method = _method(*found, "step") if found else None
    return frozenset(_parameters(method)) if method else frozenset()


def _class(name: str, files: str) -> tuple[ast.ClassDef, str] | None:
    path = _files(files).get(name)
    if path is None:
        return None
    text = path.read_text(encoding="utf-8")
    return next(((node, text) for node in _classes(text) if node.name == name), None)


@functools.cache
def _files(pattern: str) -> dict[str, Path]:
    """Class -> the file below diffusers that defines it."""
    spec = importlib.util.find_spec("diffusers")
    if spec is None or not spec.submodule_search_locations:
        return {}
    found: dict[str, Path] = {}
    for file in sorted(Path(spec.submodule_search_locations[0]).glob(pattern)):
        found |= dict.fromkeys(CLASS.findall(file.read_text(encoding="utf-8")), file)
    return found


def _classes(text: str) -> Iterator[ast.ClassDef]:
    return (node for node in ast.parse(text).body if isinstance(node, ast.ClassDef))


def _method(node: ast.ClassDef, text: str, name: str) -> ast.FunctionDef | None:
    """A class's own method, or that of a class in the same file which it derives from."""
    own = next((m for m in node.body if isinstance(m, ast.FunctionDef) and m.name == name), None)
    bases = {base.id for base in node.bases if isinstance(base, ast.Name)}
    if own is not None or not bases:
        return own
    return next((m for base in _classes(text) if base.name in bases if (m := _method(base, text, name))), None)


def _arguments(method: ast.FunctionDef) -> list[ast.arg]:
    return [*method.args.args[1:], *method.args.kwonlyargs]


def _parameters(method: ast.FunctionDef) -> dict[str, Any]:
    names = [argument.arg for argument in method.args.args[1:]]
    needed = len(names) - len(method.args.defaults)
    defaults: list[Any] = [NEEDED] * needed + [_value(default) for default in method.args.defaults]
    keywords = {
        argument.arg: NEEDED if default is None else _value(default)
        for argument, default in zip(method.args.kwonlyargs, method.args.kw_defaults, strict=True)
    }
    return dict(zip(names, defaults, strict=True)) | keywords


def _needs(init: ast.FunctionDef | None, text: str) -> dict[str, str]:
    """The constructor's parameters without a default, save what the class calls optional, as they are annotated."""
    if init is None:
        return {}
    optional = OPTIONAL.search(text)
    spared = set(re.findall(r"\w+", optional["names"])) if optional else set[str]()
    needed = init.args.args[1 : len(init.args.args) - len(init.args.defaults)]
    return {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in needed if a.arg not in spared}


def _value(default: ast.expr) -> Any:
    try:
        return ast.literal_eval(default)
    except ValueError:
        return COMPUTED


def _pipelines_made_in(init: ast.FunctionDef) -> list[str]:
    called = [node.func.id for node in ast.walk(init) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)]
    return [name for name in called if name.endswith("Pipeline")]


def _segment(node: ast.ClassDef, text: str) -> str:
    return "\n".join(text.splitlines()[node.lineno - 1 : node.end_lineno])
