"""A named table that is filled at import and raises on duplicates and on unknown names."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from studio.core.errors import UnknownName

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps names to things of one kind. `kind` is the word used in messages ("sampler", "backbone", ...)."""

    def __init__(self, kind: str):
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        """Put `item` in under `name`; a second item of that name raises ValueError."""
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of `add`."""
        return lambda item: self.add(name, item)

    def get(self, name: str, *, field: str | None = None) -> T:
        """The item of that name; raises UnknownName, listing the legal names."""
        if name not in self._items:
            raise UnknownName(self.kind, name, sorted(self._items), field=field)
        return self._items[name]

    def names(self) -> list[str]:
        return list(self._items)

    def items(self) -> list[tuple[str, T]]:
        return list(self._items.items())

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)
