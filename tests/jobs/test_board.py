"""What was asked of the worker's memory, and what became of it, for whoever waits to know."""

import threading

import pytest

from studio.core.errors import StudioError
from studio.core.memory import ImportView, MemoryCommand, MemoryView
from studio.jobs.board import DIED, MemoryBoard

LOAD = MemoryCommand(action="load", model="a")


def test_a_wish_is_in_view_until_it_is_carried_out() -> None:
    board, emitted = MemoryBoard(), []
    board.ask(LOAD, lambda: emitted.append(board.view().pending[0].action))
    assert emitted == ["load"]
    board.hear({"say": "managing", "what": "reading unet", "fraction": 0.5})
    (order,) = board.view().pending
    assert (order.model, order.what, order.fraction) == ("a", "reading unet", 0.5)
    board.hear({"say": "memory", "memory": MemoryView(used=5, models=("a",)).model_dump(mode="json")})
    board.hear({"say": "managed", "problem": None})
    assert board.view() == MemoryView(used=5, models=("a",))


def test_why_a_wish_failed_stays_at_its_model_until_it_is_asked_again() -> None:
    board = MemoryBoard()
    board.ask(LOAD, lambda: None)
    board.ask(MemoryCommand(action="load", model="b"), lambda: None)
    board.hear({"say": "managed", "problem": "It does not fit."})
    board.hear({"say": "managed", "problem": None})
    assert board.view().problems == {"a": "It does not fit."} and not board.view().pending
    board.ask(LOAD, lambda: None)
    assert board.view().problems == {}


def test_a_wish_that_nobody_heard_was_not_made() -> None:
    def refuse() -> None:
        raise StudioError("The worker is starting.")

    board = MemoryBoard()
    board.ask(LOAD, lambda: None)
    with pytest.raises(StudioError):
        board.ask(LOAD, refuse)
    assert len(board.view().pending) == 1


def test_a_worker_that_dies_takes_its_memory_and_its_wishes_with_it() -> None:
    board = MemoryBoard()
    board.hear({"say": "memory", "memory": MemoryView(used=5).model_dump(mode="json")})
    board.ask(LOAD, lambda: None)
    board.hear({"say": "ended"})
    assert board.view() == MemoryView(problems={"a": DIED})


def test_imports_are_no_wishes_for_they_are_told_of_themselves() -> None:
    board, emitted = MemoryBoard(), []
    board.ask(MemoryCommand(action="import", model="a"), lambda: emitted.append(True))
    assert emitted == [True] and board.view().pending == ()


def test_whoever_watches_is_woken_by_a_change_and_by_nothing_else() -> None:
    board = MemoryBoard()
    number, view = board.watch(0, 10)
    assert view == MemoryView()
    assert board.watch(number, 0.01) == (number, view)
    threading.Timer(0.05, board.hear, [{"say": "memory", "memory": MemoryView(used=7).model_dump(mode="json")}]).start()
    later, view = board.watch(number, 10)
    assert later != number and view.used == 7
    board.hear({"say": "settings"})
    assert board.watch(later, 0.01)[0] == later


def test_imports_go_on_whatever_memory_does_and_end_with_the_worker() -> None:
    board = MemoryBoard()
    view = ImportView(model="a", dtype="bf16", what="converting unet", fraction=0.5)
    failed = ImportView(model="c", dtype="bf16", problem="It is damaged.")
    views = [each.model_dump(mode="json") for each in (view, failed)]
    board.hear({"say": "imports", "imports": views, "prepared": ["b"]})
    board.hear({"say": "memory", "memory": MemoryView(used=5).model_dump(mode="json")})
    assert board.view() == MemoryView(used=5, imports=(view, failed), prepared=("b",))
    board.hear({"say": "ended"})
    assert board.view() == MemoryView(problems={"a": DIED})
    board.ask(MemoryCommand(action="import", model="a"), lambda: None)
    assert board.view() == MemoryView()
