"""The memory budget as a pure function: stages, residents and limits in, moves out. Numbers only; no torch, no device.

A model is run in stages (encode, denoise, decode); each needs some components and some working memory at once. The
plan never lets what is resident plus a stage's working memory exceed the budget, never evicts what the same stage
needs, and prefers to evict what neither a later stage nor a waiting job needs. What does not fit even alone is
streamed, layer by layer; if that does not fit either, DoesNotFit says so with the arithmetic.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from studio.core.errors import OutOfMemory

Kind = Literal["load", "stream", "evict"]


class DoesNotFit(OutOfMemory):
    """Not even alone, and streamed where it can be, does a stage fit the budget."""


@dataclass(frozen=True)
class Part:
    """A component as the planner sees it. `window` is what it takes when streamed; None: it cannot be."""

    key: str
    bytes: int
    window: int | None = None


@dataclass(frozen=True)
class Stage:
    """Components that are needed together, and the working memory they need beside them."""

    name: str
    parts: tuple[Part, ...]
    activation: int = 0

    @property
    def bytes(self) -> int:
        return sum(part.bytes for part in self.parts) + self.activation


@dataclass(frozen=True)
class Resident:
    """A component in memory before the plan begins."""

    key: str
    bytes: int
    pinned: bool = False  # by a lease, or by a person
    last_use: float = 0.0  # any clock
    reload_seconds: float = 0.0
    priority: float = 0.0  # GreedyDual-Size: the age it was given when last used


@dataclass(frozen=True)
class Move:
    """One step of a plan. `bytes` are those that come (load, stream) or go (evict)."""

    kind: Kind
    key: str
    bytes: int
    stage: str
    reason: str = ""


@dataclass(frozen=True)
class Plan:
    moves: tuple[Move, ...]
    peaks: dict[str, int]  # stage -> resident and working bytes at its fullest
    resident: dict[str, dict[str, int]] = field(default_factory=dict)  # stage -> who is there

    @property
    def peak(self) -> int:
        return max(self.peaks.values(), default=0)

    def of_stage(self, name: str) -> tuple[Move, ...]:
        return tuple(move for move in self.moves if move.stage == name)

    @property
    def streamed(self) -> frozenset[str]:
        return frozenset(move.key for move in self.moves if move.kind == "stream")


Policy = Callable[[Sequence[Resident]], Resident]  # whom to evict first


def greedy_dual_size(candidates: Sequence[Resident]) -> Resident:
    """Cao and Irani 1997: the lowest of (age when last used + cost per byte). The age is kept by the caller; where all
    priorities are one, the least recently used goes first."""
    return min(candidates, key=lambda r: (r.priority, r.last_use, r.key))


def cost_per_byte(resident: Resident) -> float:
    return resident.reload_seconds / max(resident.bytes, 1)


def together(stages: Sequence[Stage]) -> Stage:
    """A run of these stages with all components in memory from first to last, none of them streamed."""
    parts = {part.key: Part(part.key, part.bytes) for stage in stages for part in stage.parts}
    return Stage("run", tuple(parts.values()), max(stage.activation for stage in stages))


def plan(
    stages: Sequence[Stage],  # in the order they run
    residents: Sequence[Resident],
    budget: int,
    future: frozenset[str] = frozenset(),  # keys that waiting jobs need
    policy: Policy = greedy_dual_size,
) -> Plan:
    """Raises DoesNotFit. Parts of one key are one component, however many stages name it."""
    memory = _Memory({resident.key: resident for resident in residents}, budget, policy)
    peaks: dict[str, int] = {}
    shown: dict[str, dict[str, int]] = {}
    for number, stage in enumerate(stages):
        later = {part.key for following in stages[number + 1 :] for part in following.parts}
        memory.enter(stage, later, future)
        peaks[stage.name] = memory.total + stage.activation
        shown[stage.name] = {key: resident.bytes for key, resident in memory.there.items()}
    return Plan(tuple(memory.moves), peaks, shown)


class _Memory:
    """What is in memory while a plan is made, and the moves that led there."""

    def __init__(self, there: dict[str, Resident], budget: int, policy: Policy):
        self.there, self._budget, self._policy = there, budget, policy
        self.moves: list[Move] = []

    @property
    def total(self) -> int:
        return sum(resident.bytes for resident in self.there.values())

    def enter(self, stage: Stage, later: set[str], future: frozenset[str]) -> None:
        """Evict and load for one stage."""
        needed = {part.key: part for part in stage.parts}
        sizes = {key: part.bytes for key, part in needed.items()}  # less for those that are streamed

        def short() -> bool:
            missing = sum(size for key, size in sizes.items() if key not in self.there)
            return self.total + missing + stage.activation > self._budget

        def evict(key: str, reason: str) -> None:
            self.moves.append(Move("evict", key, self.there.pop(key).bytes, stage.name, reason))

        while short():
            if (victim := self._victim(needed, later, future)) is not None:
                evict(victim.key, "needed again" if victim.key in later | future else "not needed again")
            elif (part := self._largest_streamable(needed, sizes)) is not None:
                if part.key in self.there:
                    evict(part.key, "to be streamed")
                sizes[part.key] = part.window or 0
            else:
                raise DoesNotFit(
                    f"{arithmetic(stage, list(self.there.values()), sizes)}; the memory budget is {mib(self._budget)}. "
                    "Raise the budget, or try a smaller size or batch."
                )
        for key, size in sizes.items():
            if key not in self.there:
                kind: Kind = "load" if size == needed[key].bytes else "stream"
                self.moves.append(Move(kind, key, size, stage.name))
                self.there[key] = Resident(key, size)

    def _victim(self, needed: dict[str, Part], later: set[str], future: frozenset[str]) -> Resident | None:
        """Whom to evict: first what nobody needs, then what a waiting job needs, last what a later stage needs."""
        free = [r for r in self.there.values() if r.key not in needed and not r.pinned]
        unneeded = [r for r in free if r.key not in later]
        candidates = [r for r in unneeded if r.key not in future] or unneeded or free
        return self._policy(candidates) if candidates else None

    def _largest_streamable(self, needed: dict[str, Part], sizes: dict[str, int]) -> Part | None:
        """The part that streaming would save most on and that is not yet streamed; None if there is none."""
        kept = {r.key for r in self.there.values() if r.pinned and r.bytes == sizes.get(r.key)}
        candidates = [p for k, p in needed.items() if p.window is not None and p.window < sizes[k] and k not in kept]
        return max(candidates, key=lambda part: part.bytes - (part.window or 0), default=None)


def arithmetic(stage: Stage, residents: Sequence[Resident], sizes: dict[str, int] | None = None) -> str:
    """What a stage takes, term by term; `sizes` where a part takes less than all of it."""
    sizes = sizes or {part.key: part.bytes for part in stage.parts}
    terms = [f"{key.split(':')[0].replace('_', ' ')} {mib(size)}" for key, size in sizes.items()]
    pinned = sum(r.bytes for r in residents if r.key not in sizes and r.pinned)
    terms += [f"others kept in memory {mib(pinned)}"] if pinned else []
    need = sum(sizes.values()) + pinned + stage.activation
    return f"To {stage.name} takes {' + '.join([*terms, f'working memory {mib(stage.activation)}'])} = {mib(need)}"


def mib(size: int) -> str:
    """For people; below a mebibyte in a smaller unit."""
    if size >= 2**30:
        return f"{size / 2**30:,.2f} GiB"
    if size >= 2**20 or size == 0:
        return f"{size / 2**20:,.0f} MiB"
    return f"{size / 2**10:,.0f} KiB" if size >= 2**10 else f"{size} byte{'s' if size != 1 else ''}"
