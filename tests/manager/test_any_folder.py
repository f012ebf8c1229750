"""Whatever one folder holds, the scan goes on and the folder is listed with a reason: real folders of every family, spoilt.

The faults are drawn from a seed, so a run repeats. A few of each family run by default; `sweep` runs all.
"""

import copy
import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from studio.core.models import ModelInfo
from studio.manager.disk.catalog import Catalog
from tests.models import tiny_models
from tests.models.sparse_headers import CASES, unet, write_sparse

MAKING = tiny_models.BUILDERS | tiny_models.VARIANTS
DENOISERS = {
    "alone": unet(768),
    "flow": CASES["FLUX dev"][1],
}  # files that look through every folder for what they lack
FEW, MANY = range(2), range(2, 120)
WRONG: tuple[Any, ...] = (
    None, True, 0, -1, 1, 1e308, 10**30, float("nan"), "", "x" * 300, "../..", "\x1b[31m\u202e", [], {}, [None], [[]], ["a", "b"],
    ["diffusers", "UNet2DConditionModel"], {"a": {"b": []}}, [{}] * 70, "StableDiffusionPipeline", "WanPipeline",
)  # fmt: skip
BYTES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"\xff\xfe",
    b"[" * 9000,
    b'{"a": "\\ud800"}',
    b"\x80\x02}q\0.",
    b"PK\x03\x04",
    b"GGUF" + b"\xff" * 40,
)


def wrong(chance: random.Random) -> Any:
    return copy.deepcopy(chance.choice(WRONG))


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value in a JSON object."""
    found: list[tuple[Any, Any]] = []
    pending = [value]
    while pending:
        inner = pending.pop()
        items = list(inner.items() if isinstance(inner, dict) else enumerate(inner))
        found += [(inner, key) for key, _ in items]
        pending += [row for _, row in items if isinstance(row, dict | list)]
    return found


def files(folder: Path, pattern: str = "*") -> list[Path]:
    return [path for path in sorted(folder.rglob(pattern)) if path.is_file() and path.stat().st_size]


def change_a_value(folder: Path, chance: random.Random) -> None:
    file = chance.choice(files(folder, "*.json"))
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError):  # spoilt by the fault before
        values = {}
    for _ in range(chance.randint(1, 3)):
        container, key = chance.choice(places(values or [0]))
        if isinstance(container, dict) and chance.random() < 0.3:
            container[chance.choice(["_class_name", "vae", "unet", "\n", "x" * 600])] = wrong(chance)
        elif chance.random() < 0.2:
            del container[key]
        else:
            container[key] = wrong(chance)
    file.write_text(json.dumps(values))


def replace_a_file(folder: Path, chance: random.Random) -> None:
    chance.choice(files(folder)).write_bytes(chance.choice(BYTES))


def spoil_bytes(folder: Path, chance: random.Random) -> None:
    file = chance.choice(files(folder, "*.safetensors") or files(folder))
    data = bytearray(file.read_bytes())
    end = min(len(data), 8 + int.from_bytes(data[:8], "little"))
    for _ in range(chance.randint(1, 5)):
        data[chance.randrange(end)] = chance.choice(b'\0\xff{}[]",:019aF')
    file.write_bytes(data[: chance.choice([len(data), end, len(data) // 2])])


def make_it_another_thing(folder: Path, chance: random.Random) -> None:
    """A file that is a folder, a pipe or a link to nowhere or to a device; a folder that is a file, or gone."""
    path = chance.choice(sorted(folder.rglob("*")))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    kinds: tuple[Callable[[], object], ...] = (
        path.mkdir, lambda: os.mkfifo(path), lambda: path.symlink_to("nowhere"), lambda: path.symlink_to("/dev/zero"),
        lambda: path.symlink_to(path.name), lambda: path.symlink_to(".."), lambda: path.write_bytes(b"x"), lambda: None,
    )  # fmt: skip
    chance.choice(kinds)()


def add_a_card(folder: Path, chance: random.Random) -> None:
    keys = ("title", "family", "variant", "prediction", "vae", "hidden", "shipped", "defaults", "description", "colour")
    card = {key: wrong(chance) for key in chance.sample(keys, 2)}
    if chance.random() < 0.5:
        card = {"defaults": {key: wrong(chance) for key in ("steps", "width", "sampler", "guidance_scale")}}
    (folder / "unnoise.json").write_text(json.dumps(card))


FAULTS = (change_a_value, change_a_value, replace_a_file, spoil_bytes, make_it_another_thing, add_a_card)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound")
    for kind, build in MAKING.items():
        build(root / kind)
    return root


def check(kind: str, seeds: range, sound: Path, tmp_path: Path) -> None:
    for name, shapes in DENOISERS.items():
        write_sparse(tmp_path / f"m/{name}.safetensors", shapes)
    folder = tmp_path / "m" / kind
    for seed in seeds:
        shutil.copytree(sound / kind, folder)
        chance = random.Random(f"{kind} {seed}")
        for _ in range(chance.randint(1, 2)):
            chance.choice(FAULTS)(folder, chance)
        models = {info.id: info for info in Catalog((tmp_path / "m",), None).models()}
        assert {*DENOISERS, kind} <= models.keys() or not (folder / "model_index.json").exists(), seed
        assert DENOISERS.keys() <= models.keys(), seed
        for info in models.values():
            assert ModelInfo.model_validate_json(info.model_dump_json()) == info, seed
            assert "could not be described" not in (info.problem or ""), (seed, info.problem)
            assert info.problem is None or (info.problem.isprintable() and len(info.problem) < 600), seed
            assert str(tmp_path) not in (info.problem or ""), seed
        shutil.rmtree(folder) if folder.is_dir() else folder.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", MAKING)
def test_a_spoilt_folder_is_listed_and_stops_nothing(kind: str, sound: Path, tmp_path: Path) -> None:
    check(kind, FEW, sound, tmp_path)


@pytest.mark.sweep
@pytest.mark.parametrize("kind", MAKING)
def test_many_spoilt_folders_are_listed_and_stop_nothing(kind: str, sound: Path, tmp_path: Path) -> None:
    check(kind, MANY, sound, tmp_path)


def test_a_fault_that_no_rule_foresaw_is_the_problem_of_its_folder_alone(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from studio.manager.disk import describe

    shutil.copytree(sound / "sd1", tmp_path / "m/bad")
    shutil.copytree(sound / "sd1", tmp_path / "m/good")
    real = describe.describe_folder

    def fail(folder: Path, *arguments: Any) -> ModelInfo:
        if folder.name == "bad":
            raise TypeError("unhashable type: 'list'")
        return real(folder, *arguments)

    monkeypatch.setattr(describe, "describe_folder", fail)
    models = {info.id: info.problem for info in Catalog((tmp_path / "m",), None).models()}
    assert models == {"good": None, "bad": "It could not be described (TypeError); the log says more."}
    assert "bad could not be described" in caplog.text


def test_a_fault_in_completing_one_model_is_its_problem_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from studio.manager.disk.companions import Companions

    for name in ("bad", "good"):
        write_sparse(tmp_path / f"m/{name}.safetensors", unet(768))
    real = Companions.problem

    def fail(companions: Companions, info: ModelInfo) -> str | None:
        if info.id == "bad":
            raise TypeError("unhashable type: 'list'")
        return real(companions, info)

    monkeypatch.setattr(Companions, "problem", fail)
    models = {info.id: info.problem or "" for info in Catalog((tmp_path / "m",), None).models()}
    assert "could not be described (TypeError)" in models["bad"] and "The file lacks" in models["good"]


def test_places_that_may_not_be_entered_stop_nothing(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a disk that breaks: every look into one folder fails."""
    shutil.copytree(sound / "sd1", tmp_path / "m/broken")
    shutil.copytree(sound / "sd1", tmp_path / "m/good")
    (tmp_path / "m/tokenizers/clip").mkdir(parents=True)
    for name, shapes in DENOISERS.items():
        write_sparse(tmp_path / f"m/{name}.safetensors", shapes)
    for function in ("stat", "scandir", "open", "listdir"):
        real = getattr(os, function)

        def broken(path: Any, *arguments: Any, real: Any = real, **named: Any) -> Any:
            if not isinstance(path, int) and any(f"/m/{part}/" in os.fspath(path) for part in ("broken", "tokenizers")):
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(path, *arguments, **named)

        monkeypatch.setattr(os, function, broken)
    models = {info.id: info.problem for info in Catalog((tmp_path / "m",), None).models()}
    assert {"broken", "good", *DENOISERS} <= models.keys() and models["good"] is None
    assert "cannot be read" in (models["broken"] or "") or "is missing" in (models["broken"] or "")
