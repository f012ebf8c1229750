"""The Models tab's figures and commands, without a browser."""

from pathlib import Path

import pytest

from studio.core.errors import StudioError
from studio.core.memory import MemoryCommand, MemoryView, MoveView, PlanRequest
from studio.core.models import ModelInfo
from studio.ui.answers import managed
from studio.ui.tabs.models import current_overview, latest_moves, overridden, planned
from tests.ui.fake_studio import FakeStudio

BAD = ModelInfo(id="x/<b>page", title="<b>page", kind="unknown", problem="This is a web page.", bytes=99)


class Studio(FakeStudio):
    """A fake studio with a bad file on disk, one model in memory, and a worker that takes commands."""

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
def studio(tmp_path: Path) -> Studio:
    return Studio(tmp_path)


def test_bad_files_are_shown_with_their_reason_and_cannot_be_loaded(studio: Studio) -> None:
    answer = current_overview(studio)
    (bad,) = [model for model in answer["models"] if model["problem"]]
    assert (bad["title"], bad["problem"], bad["usable"]) == ("<b>page", "This is a web page.", False)
    assert [model["id"] for model in answer["models"] if model["usable"]] == ["starter/pencil", "starter/crayon"]
    assert answer["memory"]["residents"] == [["unet", 30]]


def test_commands_reach_the_worker_and_refusals_come_back_as_a_sentence(studio: Studio) -> None:
    assert managed(studio, {"action": "pin", "model": "starter/pencil"}) == {}
    assert managed(studio, {"action": "budget", "bytes": 5}) == {}
    assert [command.action for command in studio.commands] == ["pin", "budget"]
    assert managed(studio, {"action": "load", "model": "missing"}) == {"problem": "Unknown model 'missing'."}


@pytest.mark.parametrize(
    "sent", [{"action": "explode"}, {"action": "budget", "bytes": -1}, {}, [], None, {"action": 3}]
)
def test_nonsense_from_a_page_is_refused(sent: object, studio: Studio) -> None:
    assert "not known" in managed(studio, sent)["problem"]
    assert studio.commands == []


def test_a_plan_is_plain_figures_or_the_arithmetic(studio: FakeStudio) -> None:
    studio = FakeStudio(studio.folder)
    answer = planned(studio, {"model": "starter/pencil", "batch": 2})["plan"]
    assert [stage["name"] for stage in answer["stages"]] == ["encode", "denoise", "decode"]
    assert answer["peak"] == max(stage["peak"] for stage in answer["stages"])
    refused = planned(studio, {"model": "starter/pencil", "width": 8192, "height": 8192})
    assert "raise the budget" in refused["problem"]


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({"model": "a", "width": 0}, "Width: input should be greater than or equal to 8."),
        ({"model": "a", "batch": 10**9}, "Batch: input should be less than or equal to 64."),
        ({"model": "a", "width": 9.5}, "Width: input should be a valid integer"),
        ({"model": "a", "device": "cuda"}, "not known here"),
        ({}, "not known here"),
        ("x", "not known here"),
    ],
)
def test_a_plan_of_nonsense_is_refused_in_a_sentence(sent: object, sentence: str, studio: Studio) -> None:
    assert sentence in planned(studio, sent)["problem"]


def test_an_override_reaches_the_studio_with_only_what_was_changed(studio: Studio) -> None:
    assert overridden(studio, {"model": "starter/pencil", "changes": {"vae": None, "title": "P"}}) == {}
    ((model, words),) = studio.words
    assert (model, words.model_dump(exclude_unset=True)) == ("starter/pencil", {"vae": None, "title": "P"})
    for sent in ({"model": "starter/pencil", "changes": {"colour": "red"}}, {"changes": {}}, None, {"model": "x"}):
        assert "not known" in overridden(studio, sent)["problem"]
    assert "at most 120" in overridden(studio, {"model": "x", "changes": {"title": "x" * 121}})["problem"]
    assert len(studio.words) == 1


def test_moves_are_plain_rows(studio: Studio) -> None:
    studio.ledger.append(MoveView(time=1.0, move="load", component="unet", predicted=5, measured=6, seconds=0.1))
    (row,) = latest_moves(studio)["moves"]
    assert (row["move"], row["predicted"], row["measured"], row["reason"]) == ("load", 5, 6, "")


def test_the_least_budget_is_what_the_smallest_usable_model_takes(studio: Studio) -> None:
    answer = current_overview(studio)
    peaks = [studio.plan(PlanRequest(model=info.id, dtype="fp32")).peak for info in studio.models() if not info.problem]
    assert answer["least"] == min(peaks) > 0
