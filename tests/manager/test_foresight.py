"""What waiting jobs will want goes last: the queue is looked at before each job, and the manager keeps their parts."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from studio import compat
from studio.core.options import find_model, resolve
from studio.core.parts import VAE
from studio.core.request import GenerationRequest
from studio.core.settings import Settings
from studio.jobs.database import Database
from studio.jobs.log import EventLog
from studio.jobs.queue import JobQueue, waiting
from tests.models import tiny_models
from tests.sweeps import one_in

compat.prepare()

from studio.manager.manager import Expected, Manager  # noqa: E402
from studio.manager.memory import estimate  # noqa: E402
from studio.worker import Worker  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    for seed, name in enumerate("abc"):
        tiny_models.stable_diffusion(root / name, seed=seed, vae="kl")
    shutil.copytree(root / "a", root / "tuned")  # a's text encoder and autoencoder, c's U-Net
    shutil.copytree(root / "c/unet", root / "tuned/unet", dirs_exist_ok=True)
    return root


@pytest.fixture(scope="module")
def room_for_two(models: Path, tmp_path_factory: pytest.TempPathFactory) -> int:
    manager = Manager(Settings(models=(models,), outputs=tmp_path_factory.mktemp("out"), device="cpu"))
    take(manager, "a")
    return 2 * manager.residency.held() + (64 << 10)


@pytest.fixture(autouse=True)
def no_working_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small a model is all working memory; here its weights are to be what fills the budget."""
    monkeypatch.setattr(estimate, "working_bytes", lambda traced, device: 1000)


def take(manager: Manager, name: str) -> None:
    with manager.lease(find_model(manager.catalog.models(), name), "fp32"):
        pass


def with_a_and_b(models: Path, outputs: Path, budget: int) -> Manager:
    manager = Manager(Settings(models=(models,), outputs=outputs, device="cpu", memory_budget=budget))
    take(manager, "a")
    take(manager, "b")
    held = manager.memory().models
    assert {"a", "b"} <= set(held)
    return manager


@pytest.mark.parametrize("waits", ["a", "b"])
def test_who_is_waited_for_stays_and_the_other_makes_way(
    waits: str, models: Path, room_for_two: int, tmp_path: Path
) -> None:
    manager = with_a_and_b(models, tmp_path, room_for_two)
    manager.expect([Expected(find_model(manager.catalog.models(), waits), "fp32")])
    take(manager, "c")
    assert waits in manager.memory().models
    assert {"a", "b"} - {waits} - set(manager.memory().models)


def test_a_model_that_waits_keeps_what_it_shares(models: Path, room_for_two: int, tmp_path: Path) -> None:
    before = Manager(Settings(models=(models,), outputs=tmp_path, device="cpu"))
    take(before, "tuned")  # in another session: its weights are known by their content
    manager = with_a_and_b(models, tmp_path, room_for_two)
    take(manager, "b")
    manager.expect([Expected(find_model(manager.catalog.models(), "tuned"), "fp32")])
    take(manager, "c")
    loads = len([row for row in manager.ledger.recent if row["move"] == "load"])
    take(manager, "tuned")  # a's encoder and autoencoder, c's U-Net: all there
    assert len([row for row in manager.ledger.recent if row["move"] == "load"]) == loads


def test_a_model_that_is_gone_is_no_trouble_to_others(models: Path, room_for_two: int, tmp_path: Path) -> None:
    manager = with_a_and_b(models, tmp_path, room_for_two)
    gone = find_model(manager.catalog.models(), "a").model_copy(update={"id": "gone"})
    manager.expect([Expected(gone, "fp32", False, (VAE(model="none"),))])
    take(manager, "c")


class Orders:
    """The worker's inbox: these commands, and then the end."""

    def __init__(self, commands: list[dict[str, Any]]):
        self._commands = iter(commands)
        self.imports: Any = None

    def get(self) -> dict[str, Any] | None:
        return next(self._commands, None)

    def is_cancelled(self, job: str) -> bool:
        return False

    def forget(self, job: str) -> None:
        pass


class Wire:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> bool:
        self.said.append(message)
        return True


@pytest.mark.parametrize("waits", one_in(2, "ab"))
def test_the_worker_looks_at_the_queue_before_each_job(
    waits: str, models: Path, room_for_two: int, tmp_path: Path
) -> None:
    settings = Settings(models=(models,), outputs=tmp_path, device="cpu", memory_budget=room_for_two)
    database = Database(tmp_path / ".unnoise" / "studio.db")
    listed = Manager(settings).catalog.models()

    def request_of(name: str) -> GenerationRequest:
        return resolve(
            GenerationRequest(model=name, prompt="a red heart", steps=1, dtype="fp32", previews=False),
            find_model(listed, name),
        )

    JobQueue(database, EventLog(database)).put(request_of(waits))
    assert [request.model for request in waiting(database, 9)] == [waits]
    orders = [{"do": "run", "job": name, "request": request_of(name).model_dump(mode="json")} for name in "abc"]
    wire = Wire()
    worker = Worker(wire, Orders(orders), settings)  # type: ignore[arg-type]
    worker.work()
    ends = [message["event"] for message in wire.said if message["say"] == "event" and '"done"' in message["event"]]
    assert len(ends) == 3
    held = [message["memory"]["models"] for message in wire.said if message["say"] == "memory"][-1]
    assert waits in held and "c" in held and len(held) == 2
