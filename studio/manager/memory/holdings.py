"""Which models leased so far hold which components, and which models a person keeps in memory. Moves nothing itself.

A model may be in memory in several precisions at once, or with and without a part; each is a set of components, some of
them shared with other models.
"""

from collections.abc import Iterable

from studio.manager.memory.residency import Residency

Keys = frozenset[str]  # of components


class Holdings:
    """What models hold of one residency's components."""

    def __init__(self, residency: Residency):
        self._residency = residency
        self._leased: dict[str, list[Keys]] = {}  # model id -> its sets of components, the last leased last
        self._pins: dict[str, Keys] = {}

    def note(self, model: str, keys: Keys, *, whole: bool) -> None:
        """The model was leased. One that is pinned is from now on kept as it was leased, if that is in memory whole."""
        there = self._residency.components.keys()
        self._leased[model] = [*(each for each in self._leased.get(model, []) if each != keys and each & there), keys]
        if whole and model in self._pins:
            self._pins[model] = keys
        self._mark()

    def pin(self, model: str, pinned: bool) -> None:
        """Keep the model as it was last leased, or no longer. What another pinned model shares with it stays pinned."""
        if not pinned:
            self._pins.pop(model, None)
        elif model in self._leased:
            self._pins[model] = self._leased[model][-1]
        self._mark()

    def last(self, model: str) -> Keys:
        return self._leased[model][-1] if model in self._leased else frozenset()

    def own(self, model: str) -> Keys:
        """Everything of the model's, in any precision, but what other models that are in memory whole hold too; all of it
        where another model is made of the very same."""
        there, every = self._there(), _union(self._leased.get(model, []))
        others = _union(
            keys for name, known in self._leased.items() if name != model for keys in known if keys <= there
        )
        return every - others or every

    def whole(self) -> tuple[str, ...]:
        """Ids of the models that are in memory whole, in one precision at least."""
        there = self._there()
        return tuple(name for name, known in self._leased.items() if any(keys <= there for keys in known))

    def pinned(self) -> tuple[str, ...]:
        return tuple(self._pins)

    def of(self, key: str) -> tuple[str, ...]:
        """Ids of the models that hold the component."""
        return tuple(name for name, known in self._leased.items() if any(key in keys for keys in known))

    def _there(self) -> Keys:
        return frozenset(c.key for c in self._residency.components.values() if c.state == "resident")

    def _mark(self) -> None:
        kept = _union(self._pins.values())
        for component in self._residency.components.values():
            component.pinned = component.key in kept


def _union(sets: Iterable[Keys]) -> Keys:
    return frozenset[str]().union(*sets)
