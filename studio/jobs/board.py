"""The board: the worker's last report of its memory, and the commands that it has not finished; readers can wait for changes.

Depends on messages and plain values, not on models. When a worker dies, its memory report and its pending commands end.
"""

import threading
from collections.abc import Callable

from studio.core.errors import StudioError
from studio.core.memory import MemoryCommand, MemoryView, PendingCommand
from studio.jobs.channel import Message

DIED = "The worker ended while it was at this; a new one has started."
HEARD_AT_ONCE = frozenset({"import", "cancel_import"})  # reported as `MemoryView.imports`, not as pending
PROBLEMS = 200


class MemoryBoard:
    """Safe to use from several threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 1
        self._reported = MemoryView()
        self._pending: list[PendingCommand] = []
        self._problems: dict[str, str] = {}

    def view(self) -> MemoryView:
        with self._changed:
            return self._view()

    def watch(self, seen: int, seconds: float) -> tuple[int, MemoryView]:
        """The view and its number, once its number differs from `seen`, or after `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._number != seen, timeout=seconds)
            return self._number, self._view()

    def ask(self, command: MemoryCommand, send: Callable[[], None]) -> None:
        """Note the command as pending and `send` it to the worker; if that raises, it is no longer pending."""
        if command.action in HEARD_AT_ONCE:
            send()
            with self._changed:
                if self._problems.pop(command.model, None):
                    self._say()
            return
        pending = PendingCommand(action=command.action, model=command.model)
        with self._changed:
            self._pending.append(pending)  # noted first, because the answer may come at once
            self._problems.pop(command.model, None)
            self._say()
        try:
            send()
        except StudioError:
            with self._changed:
                self._pending = [each for each in self._pending if each is not pending]
                self._say()
            raise

    def hear(self, message: Message) -> None:
        """`memory`: the view but for imports; `imports`: these; `managing`, `managed`: the oldest pending command; `ended`: the worker has."""
        with self._changed:
            match message.get("say"):
                case "memory":
                    self._reported = self._with_imports(MemoryView.model_validate(message["memory"]))
                case "imports":
                    imports = {name: message[name] for name in ("imports", "prepared")}
                    self._reported = MemoryView.model_validate(self._reported.model_dump() | imports)
                case "ended":
                    under_way = [each.model for each in self._reported.imports if each.problem is None]
                    self._problems |= dict.fromkeys([*(pending.model for pending in self._pending), *under_way], DIED)
                    self._pending.clear()
                    self._reported = MemoryView()
                case "managing" if self._pending:
                    at = {"what": message["what"], "fraction": message["fraction"]}
                    self._pending[0] = self._pending[0].model_copy(update=at)
                case "managed" if self._pending:
                    self._conclude(self._pending.pop(0), message["problem"])
                case _:
                    return
            self._say()

    def _conclude(self, pending: PendingCommand, problem: str | None) -> None:
        self._problems.pop(pending.model, None)
        if problem is not None:
            kept = list(self._problems.items())[-PROBLEMS + 1 :]
            self._problems = dict(kept) | {pending.model: problem}

    def _with_imports(self, view: MemoryView) -> MemoryView:
        """The view with the imports as last reported: they come in messages of their own, since they go on while a job runs."""
        return view.model_copy(update={"imports": self._reported.imports, "prepared": self._reported.prepared})

    def _view(self) -> MemoryView:
        return self._reported.model_copy(update={"pending": tuple(self._pending), "problems": dict(self._problems)})

    def _say(self) -> None:
        self._number += 1
        self._changed.notify_all()
