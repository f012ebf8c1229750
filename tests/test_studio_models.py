"""What the Models tab asks of the real studio and its worker: load, unload, pin, and what became of each; plans, moves, words."""

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from studio.core.errors import InvalidRequest, NotFound, OutOfMemory, UnknownName
from studio.core.memory import MemoryCommand, MemoryView, PlanRequest
from studio.core.models import Override
from studio.core.settings import Settings
from studio.jobs.board import DIED
from studio.studio import Studio
from tests.models import tiny_models


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    tiny_models.stable_diffusion(folder / "models" / "tiny")
    unfit = shutil.copytree(folder / "models" / "tiny", folder / "models" / "unfit")
    (unfit / "unet" / "config.json").write_text(
        '{"_class_name": "UNet2DConditionModel", "block_out_channels": [8, 16]}'
    )
    with closing(Studio(Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu"))) as studio:
        until(studio, lambda view: "tiny" in view.models)  # the worker loads a model ahead
        yield studio


def until(studio: Studio, true: Callable[[MemoryView], bool], seconds: float = 90) -> MemoryView:
    """The first view of the memory of which it is true; each is waited for, none is asked for twice."""
    number, view = studio.watch_memory(0, 0)
    while not true(view):
        now, view = studio.watch_memory(number, seconds)
        assert now != number, f"nothing came of it: {view}"
        number = now
    return view


def manage(studio: Studio, action: str, model: str = "") -> MemoryView:
    """Ask, and wait until it was carried out."""
    studio.manage(MemoryCommand(action=action, model=model))  # type: ignore[arg-type]
    return until(studio, lambda view: not view.pending)


def test_a_model_is_unloaded_loaded_and_pinned_and_every_move_is_in_the_ledger(studio: Studio) -> None:
    assert manage(studio, "unload", "tiny").residents == ()
    view = manage(studio, "pin", "tiny")
    assert (view.models, view.pinned, view.problems) == (("tiny",), ("tiny",), {})
    assert {name for name, _ in view.residents} == {"unet", "vae", "text_encoder"}
    assert view.holders == (("tiny",),) * 3 and view.used == sum(size for _, size in view.residents)
    assert "pinned; unpin it first" in manage(studio, "unload", "tiny").problems["tiny"]
    assert manage(studio, "unpin", "tiny").pinned == ()
    rows = studio.moves()
    assert [row.time for row in rows] == sorted((row.time for row in rows), reverse=True)
    assert {(row.move, row.component) for row in rows} >= {("load", "unet"), ("evict", "unet")}
    assert all(row.predicted and row.measured and row.seconds is not None for row in rows if row.move == "load")
    assert {row.models for row in rows} == {("tiny",)}


def test_why_a_model_cannot_be_loaded_is_told_at_it_and_what_was_there_stays(studio: Studio) -> None:
    before = manage(studio, "load", "tiny")
    view = manage(studio, "load", "unfit")
    assert set(view.problems) == {"unfit"} and "unet" in view.problems["unfit"]
    assert (view.models, view.used) == (before.models, before.used)
    with pytest.raises(UnknownName):
        manage(studio, "load", "missing")
    assert studio.memory().pending == ()


@pytest.mark.sweep  # by default without the engine, in tests/jobs
def test_a_killed_worker_says_so_at_the_model_it_was_asked_for_and_the_next_keeps_the_budget(studio: Studio) -> None:
    own = until(studio, lambda view: view.budget > 0).budget
    studio.manage(MemoryCommand(action="budget", bytes=64 << 20))
    until(studio, lambda view: view.budget == 64 << 20 and not view.pending)
    pid = studio.worker_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    studio.manage(MemoryCommand(action="load", model="tiny"))
    assert [(order.action, order.model) for order in studio.memory().pending] == [("load", "tiny")]
    os.kill(pid, signal.SIGKILL)
    view = until(studio, lambda view: not view.pending and view.budget > 0)
    assert view.problems["tiny"] == DIED and view.models == () and studio.worker_pid != pid
    assert view.budget == 64 << 20
    assert manage(studio, "load", "tiny").models == ("tiny",)
    studio.manage(MemoryCommand(action="budget", bytes=None))
    assert until(studio, lambda view: view.budget != 64 << 20 and not view.pending).budget >= own // 2


def test_a_run_is_planned_from_headers_or_refused_with_the_arithmetic(studio: Studio) -> None:
    small, large = (
        studio.plan(PlanRequest(model="tiny")),
        studio.plan(PlanRequest(model="tiny", width=512, height=512, batch=4)),
    )
    assert [stage.name for stage in small.stages] == ["encode", "denoise", "decode"] and small.whole
    assert small.budget == studio.memory().budget and small.peak < large.peak
    for stage in small.stages:
        assert stage.peak == stage.working + sum(part.bytes for part in stage.parts)
    for width, reason in ((4100, "8 to 4,096"), (70, "multiple of")):  # which no run is accepted for
        with pytest.raises(InvalidRequest, match=reason):
            studio.plan(PlanRequest(model="tiny", width=width, height=64))
    studio.manage(MemoryCommand(action="budget", bytes=2**20))
    assert until(studio, lambda view: not view.pending).budget == 2**20
    with pytest.raises(OutOfMemory, match="memory budget is 1 MiB"):
        studio.plan(PlanRequest(model="tiny", width=512, height=512, batch=4))
    assert manage(studio, "budget").budget == small.budget


def test_the_user_s_word_counts_from_the_next_use_on(studio: Studio, tmp_path: Path) -> None:
    models = studio.settings.models[0]
    (models / "vae").mkdir()
    shutil.copy(models / "tiny/vae/diffusion_pytorch_model.safetensors", models / "vae/clear.safetensors")
    studio.override("tiny", Override(title="Mine", vae="vae/clear"))
    info = next(info for info in studio.models() if info.id == "tiny")
    assert (info.title, info.vae, set(info.overridden)) == ("Mine", "vae/clear", {"title", "vae"})
    assert manage(studio, "load", "tiny").problems.get("tiny") is None
    (models / "vae/clear.safetensors").unlink()
    assert "set to run with the VAE vae/clear" in manage(studio, "load", "tiny").problems["tiny"]
    studio.override("tiny", Override(title=None, vae=None))
    assert manage(studio, "load", "tiny").problems.get("tiny") is None
    with pytest.raises(NotFound):
        studio.preview("tiny")
