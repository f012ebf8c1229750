"""Imports point downwards. Read from the source itself, so that an import inside a function counts as well."""

import ast
import json
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# room -> rooms of studio it may import. None: everything (the only wiring).
MAY_IMPORT: dict[str, frozenset[str] | None] = {
    "": None,  # the package's own `__init__`, the Python API, which imports a name when it is asked for
    "core": frozenset(),
    "compat": frozenset(),
    "metadata": frozenset({"core"}),
    "prompts": frozenset({"core"}),
    "jobs": frozenset({"core", "metadata"}),
    "annotators": frozenset({"core", "compat"}),
    "evaluation": frozenset({"core", "compat"}),
    "manager": frozenset({"core", "compat"}),
    "studio": frozenset({"core", "jobs", "manager", "metadata", "prompts", "training"}),
    "engine": frozenset({"core", "compat", "manager", "annotators", "prompts"}),
    "training": frozenset({"core", "compat", "engine", "evaluation", "metadata"}),
    "ui": frozenset({"core"}),
    "server": frozenset({"core"}),
    "cli": None,
    "worker": None,
    "execution": None,
    "racing": None,
    "__main__": None,
    "app": None,
}

# Within the manager, what is said of files and memory: each may import those before it.
MANAGER = ("families", "disk", "prompt_tokens", "loading", "conversion", "parts", "memory", "manager")

# Nothing in these rooms, nor what they pull in, may load torch: the window opens while the worker loads.
TORCH_FREE = ("core", "jobs", "metadata", "prompts", "studio", "ui", "server")
TORCH_AND_KIN = ("torch", "torchvision", "diffusers", "transformers", "accelerate", "peft", "timm", "safetensors.torch")


def sources() -> list[Path]:
    return [*sorted((ROOT / "studio").rglob("*.py")), ROOT / "app.py"]


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """`studio.jobs.queue` lives in `jobs`; the package's own `__init__` in no room."""
    parts = module.split(".")
    if parts[0] != "studio":
        return parts[0]
    return parts[1] if len(parts) > 1 else ""


def imported(path: Path, text: str) -> set[str]:
    """Every module a source names in an import, at any depth, relative ones resolved; `from a import b` as `a.b`."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            found.update(f"{stem}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "__import__",
        ):
            literal = node.args[0] if node.args else None
            if isinstance(literal, ast.Constant) and isinstance(literal.value, str):
                found.add(literal.value)
    return found


def upward_imports(path: Path, text: str) -> list[str]:
    room = room_of(module_name(path))
    allowed = MAY_IMPORT.get(room, frozenset())
    if allowed is None:
        return []
    wrong = []
    for name in sorted(imported(path, text)):
        top = name.split(".")[0]
        target = room_of(name)
        if top == "app" or (top == "studio" and target not in allowed | {room, "", "__version__"}):
            wrong.append(name)
    return wrong


def foreign_imports(path: Path, text: str) -> list[str]:
    """Torch in a room that must open without it, or Gradio outside the window."""
    room = room_of(module_name(path))
    names = imported(path, text)
    wrong = [n for n in names if room != "ui" and n.split(".")[0] in ("gradio", "gradio_client")]
    if room in TORCH_FREE:
        wrong += [n for n in names if any(n == kin or n.startswith(f"{kin}.") for kin in TORCH_AND_KIN)]
    return sorted(wrong)


def loaded_by(modules: list[str]) -> set[str]:
    """The top-level names in sys.modules after a fresh interpreter imported `modules`, the page's as `serve` does."""
    lines = ["import sys, json", "from studio.ui.stubs import no_stubs", "with no_stubs():"]
    lines += [f"    import {module}" for module in modules]
    lines += ["print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"]
    command = [sys.executable, "-c", "\n".join(lines)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def modules_of(*rooms: str) -> list[str]:
    return [name for name in map(module_name, sources()) if room_of(name) in rooms and not name.endswith("__main__")]


def found(rule: Callable[[Path, str], Collection[str]], paths: Iterable[Path]) -> dict[str, Collection[str]]:
    """Module -> what the rule finds wrong with it."""
    wrong = {module_name(path): rule(path, path.read_text(encoding="utf-8")) for path in paths}
    assert len(wrong) > 10
    return {module: each for module, each in wrong.items() if each}


def test_imports_point_downwards() -> None:
    assert found(upward_imports, sources()) == {}


def test_the_managers_parts_stand_on_one_another() -> None:
    def part(module: str) -> str:
        return ".".join(module.split(".")[2:3])

    def above(path: Path, text: str) -> set[str]:
        own = part(module_name(path))
        below = {"", *MANAGER[: MANAGER.index(own) + 1]} if own else {""}
        return {part(name) for name in imported(path, text) if name.startswith("studio.manager")} - below

    assert found(above, (ROOT / "studio" / "manager").rglob("*.py")) == {}


def test_torch_and_gradio_stay_in_their_rooms() -> None:
    assert found(foreign_imports, sources()) == {}


def test_every_room_has_a_rule() -> None:
    assert {room_of(module_name(path)) for path in sources()} - {""} <= set(MAY_IMPORT)


def test_importing_runs_nothing_but_definitions() -> None:
    """At a module's top level: docstring, imports, definitions, constants and registrations; no loop, no `with`, no print."""

    def runs(path: Path, text: str) -> list[str]:
        statements = ast.parse(text).body
        loose = [n for n in statements if isinstance(n, ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith)]
        calls = [n for n in statements if isinstance(n, ast.Expr) and isinstance(n.value, ast.Call)]
        printed = [n for n in calls if getattr(n.value.func, "id", "") == "print"]  # type: ignore[attr-defined]
        return [f"line {n.lineno}" for n in loose + printed]

    assert found(runs, sources()) == {}


def test_no_torch_in_the_windows_process() -> None:
    """What source shows is not all: something imported may itself load torch. So the rooms are really imported."""
    loaded = loaded_by(modules_of("core", "jobs", "studio", "server") + ["app"])
    assert loaded.isdisjoint({"torch", "diffusers", "transformers", "gradio"})


def test_the_page_loads_gradio_but_no_torch_and_leaves_no_stubs_in_the_source() -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "studio").rglob("*.pyi")}
    loaded = loaded_by(modules_of("ui"))
    assert "gradio" in loaded
    assert loaded.isdisjoint({"torch", "diffusers", "transformers"})
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "studio").rglob("*.pyi")} == before


def test_the_catalog_opens_without_torch() -> None:
    """The studio reads the catalog and the planner in the window's process."""
    read = [name for name in modules_of("manager") if name.startswith("studio.manager.disk.")]
    assert "torch" not in loaded_by([*read, "studio.manager.memory.planner", "studio.manager.memory.planning"])


@pytest.mark.parametrize(
    ("module", "text", "caught"),
    [
        ("studio/core/x.py", "from studio.jobs import queue", ["studio.jobs.queue"]),
        ("studio/core/x.py", "def f():\n    import studio.engine.tap", ["studio.engine.tap"]),
        ("studio/jobs/x.py", "from ..manager import disk", ["studio.manager.disk"]),
        ("studio/engine/x.py", "from studio import training", ["studio.training"]),
        ("studio/server/x.py", "import importlib; importlib.import_module('studio.studio')", ["studio.studio"]),
        ("studio/ui/x.py", "from app import main", ["app.main"]),
        ("studio/engine/x.py", "from studio.manager import leases; from . import tap", []),
    ],
)
def test_the_rule_catches_what_it_is_for(module: str, text: str, caught: list[str]) -> None:
    assert upward_imports(ROOT / module, text) == caught


def test_the_torch_rule_catches_what_it_is_for() -> None:
    assert foreign_imports(ROOT / "studio/studio.py", "def f():\n    from torch import nn") == ["torch.nn"]
    assert foreign_imports(ROOT / "studio/server/x.py", "import gradio as gr") == ["gradio"]
    assert foreign_imports(ROOT / "studio/ui/x.py", "import gradio as gr") == []
    assert foreign_imports(ROOT / "studio/engine/x.py", "import torch") == []


def names_of(path: Path) -> set[str]:
    """What a module's source binds at its top, or imports; of a package its modules too."""
    found = {each.stem for each in path.parent.iterdir()} if path.name == "__init__.py" else set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


@pytest.mark.parametrize("folder", ["benchmarks", "scripts"])
def test_what_is_not_run_by_tests_imports_names_that_are_there(folder: str) -> None:
    missing = []
    for path in sorted((ROOT / folder).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith(("studio", "tests")):
                continue
            source = ROOT / Path(*node.module.split("."))
            source = source / "__init__.py" if source.is_dir() else source.with_suffix(".py")
            there = names_of(source) if source.is_file() else set()
            lazy = "__getattr__" in there  # gives names when they are asked for
            missing += [f"{path.name}: {node.module}.{a.name}" for a in node.names if a.name not in there and not lazy]
    assert missing == []
