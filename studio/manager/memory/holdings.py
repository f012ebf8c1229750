"""Which model is made of which components, of the models leased so far, and which a person wants kept in memory.

A model may be here in several precisions at once; each is a set of components of its own, some of them shared with
other models. Knows keys and flags; what moves is the planner's and the residency's business.
"""

from collections.abc import Iterable

from studio.manager.memory.residency import Residency

Parts = frozenset[str]  # keys of components


class Holdings:
    """The books on one residency's components."""

    def __init__(self, residency: Residency):
        self._residency = residency
        self._leased: dict[str, list[Parts]] = {}  # model id -> its precisions, the last leased last
        self._pins: dict[str, Parts] = {}

    def note(self, model: str, parts: Parts, *, whole: bool) -> None:
        """The model was leased; one that is pinned is from now on kept as it was leased, if that is in memory whole."""
        known = [
            other
            for other in self._leased.get(model, [])
            if other != parts and other & self._residency.components.keys()
        ]
        self._leased[model] = [*known, parts]
        if whole and model in self._pins:
            self._pins[model] = parts
        self._mark()

    def pin(self, model: str, pinned: bool) -> None:
        """Keep the model as it was last leased, or no longer. What another pinned model shares with it stays pinned."""
        if not pinned:
            self._pins.pop(model, None)
        elif model in self._leased:
            self._pins[model] = self._leased[model][-1]
        self._mark()

    def last(self, model: str) -> Parts:
        return self._leased[model][-1] if model in self._leased else frozenset()

    def own(self, model: str) -> Parts:
        """Everything of the model's, in any precision, but what other models that are in memory whole are made of too; all
        of it where another is made of the very same."""
        there, every = self._there(), _united(self._leased.get(model, []))
        others = [p for name, known in self._leased.items() if name != model for p in known if p <= there]
        return every - _united(others) or every

    def whole(self) -> tuple[str, ...]:
        """Ids of the models that are in memory whole, in one precision at least."""
        there = self._there()
        return tuple(name for name, known in self._leased.items() if any(parts <= there for parts in known))

    def pinned(self) -> tuple[str, ...]:
        return tuple(self._pins)

    def of(self, key: str) -> tuple[str, ...]:
        """Ids of the models that the component is part of."""
        return tuple(name for name, known in self._leased.items() if any(key in parts for parts in known))

    def _there(self) -> Parts:
        return frozenset(c.key for c in self._residency.components.values() if c.state == "resident")

    def _mark(self) -> None:
        kept = _united(self._pins.values())
        for component in self._residency.components.values():
            component.pinned = component.key in kept


def _united(sets: Iterable[Parts]) -> Parts:
    return frozenset[str]().union(*sets)
