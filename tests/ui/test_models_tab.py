"""The Models tab's figures and wishes, without a browser."""

from pathlib import Path

import pytest

from studio.core.desk import MemoryCommand, MemoryView
from studio.core.errors import StudioError
from studio.core.models import ModelInfo
from studio.ui.tabs.models import current_overview, managed
from tests.ui.fake_desk import FakeDesk

BAD = ModelInfo(id="x/<b>page", title="<b>page", kind="unknown", problem="This is a web page.", bytes=99)


class Desk(FakeDesk):
    """A fake desk with a bad file on disk, one model in memory, and a worker that takes commands."""

    def __init__(self, folder: Path):
        super().__init__(folder)
        self.commands: list[MemoryCommand] = []

    def models(self) -> list[ModelInfo]:
        return [*super().models(), BAD]

    def memory(self) -> MemoryView:
        return MemoryView(budget=100, used=30, device="cpu", residents=(("unet", 30),), models=("starter/pencil",))

    def manage(self, command: MemoryCommand) -> None:
        if command.model == "missing":
            raise StudioError("Unknown model 'missing'.")
        self.commands.append(command)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_bad_files_are_shown_with_their_reason_and_cannot_be_loaded(desk: Desk) -> None:
    told = current_overview(desk)
    (bad,) = [model for model in told["models"] if model["problem"]]
    assert (bad["title"], bad["problem"], bad["usable"]) == ("<b>page", "This is a web page.", False)
    assert [model["id"] for model in told["models"] if model["usable"]] == ["starter/pencil", "starter/crayon"]
    assert told["memory"]["residents"] == [["unet", 30]]


def test_wishes_reach_the_worker_and_refusals_come_back_as_a_sentence(desk: Desk) -> None:
    assert managed(desk, {"action": "pin", "model": "starter/pencil"}) == {}
    assert managed(desk, {"action": "budget", "bytes": 5}) == {}
    assert [command.action for command in desk.commands] == ["pin", "budget"]
    assert managed(desk, {"action": "load", "model": "missing"}) == {"problem": "Unknown model 'missing'."}


@pytest.mark.parametrize(
    "wish", [{"action": "explode"}, {"action": "budget", "bytes": -1}, {}, [], None, {"action": 3}]
)
def test_nonsense_from_a_page_is_refused(wish: object, desk: Desk) -> None:
    assert "not known" in managed(desk, wish)["problem"]
    assert desk.commands == []
