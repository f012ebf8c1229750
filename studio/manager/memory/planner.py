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


def plan(
    stages: Sequence[Stage],  # in the order they run
    residents: Sequence[Resident],
    budget: int,
    future: frozenset[str] = frozenset(),  # keys that waiting jobs need
    policy: Policy = greedy_dual_size,
) -> Plan:
    """Raises DoesNotFit. Parts of one key are one component, however many stages name it."""
    there = {resident.key: resident for resident in residents}
    moves: list[Move] = []
    peaks: dict[str, int] = {}
    shown: dict[str, dict[str, int]] = {}
    for number, stage in enumerate(stages):
        later = {part.key for following in stages[number + 1 :] for part in following.parts}
        _make_room(stage, there, later, future, budget, policy, moves)
        peaks[stage.name] = _total(there) + stage.activation
        shown[stage.name] = {key: resident.bytes for key, resident in there.items()}
    return Plan(tuple(moves), peaks, shown)


def _make_room(
    stage: Stage,
    there: dict[str, Resident],
    later: set[str],
    future: frozenset[str],
    budget: int,
    policy: Policy,
    moves: list[Move],
) -> None:
    """Evict and load for one stage, changing `there` and adding to `moves`."""
    needed = {part.key: part for part in stage.parts}
    footprint = {key: part.bytes for key, part in needed.items()}
    coming = sum(size for key, size in footprint.items() if key not in there)
    while _total(there) + coming + stage.activation > budget:
        victim = _victim(there, needed, later, future, policy)
        if victim is not None:
            del there[victim.key]
            reason = "needed again" if victim.key in later | future else "not needed again"
            moves.append(Move("evict", victim.key, victim.bytes, stage.name, reason))
            continue
        streamed = _largest_streamable(needed, footprint, there)
        if streamed is None:
            raise DoesNotFit(
                f"{arithmetic(stage, list(there.values()), footprint)}; the memory budget is {mib(budget)}. "
                "Raise the budget, or try a smaller size or batch."
            )
        if streamed.key in there:
            moves.append(Move("evict", streamed.key, there.pop(streamed.key).bytes, stage.name, "to be streamed"))
        footprint[streamed.key] = streamed.window or 0
        coming = sum(size for key, size in footprint.items() if key not in there)
    for key, size in footprint.items():
        if key not in there:
            streams = size != needed[key].bytes
            moves.append(Move("stream" if streams else "load", key, size, stage.name))
            there[key] = Resident(key, size)


def _victim(
    there: dict[str, Resident],
    needed: dict[str, Part],
    later: set[str],
    future: frozenset[str],
    policy: Policy,
) -> Resident | None:
    """Whom to evict: first what nobody needs, then what a waiting job needs, last what a later stage needs."""
    free = [r for r in there.values() if r.key not in needed and not r.pinned]
    unneeded = [r for r in free if r.key not in later]
    candidates = [r for r in unneeded if r.key not in future] or unneeded or free
    return policy(candidates) if candidates else None


def _largest_streamable(needed: dict[str, Part], footprint: dict[str, int], there: dict[str, Resident]) -> Part | None:
    """The part that streaming would save most on and that is not yet streamed; None if there is none."""
    candidates = [
        part
        for key, part in needed.items()
        if part.window is not None
        and part.window < footprint[key]
        and not (key in there and there[key].pinned and there[key].bytes == footprint[key])
    ]
    return max(candidates, key=lambda part: part.bytes - (part.window or 0), default=None)


def _total(there: dict[str, Resident]) -> int:
    return sum(resident.bytes for resident in there.values())


def arithmetic(stage: Stage, residents: Sequence[Resident], footprint: dict[str, int] | None = None) -> str:
    """What a stage takes, term by term; `footprint` where a part takes less than all of it."""
    footprint = footprint or {part.key: part.bytes for part in stage.parts}
    terms = [f"{key.split(':')[0].replace('_', ' ')} {mib(size)}" for key, size in footprint.items()]
    pinned = sum(r.bytes for r in residents if r.key not in footprint and r.pinned)
    terms += [f"others kept in memory {mib(pinned)}"] if pinned else []
    need = sum(footprint.values()) + pinned + stage.activation
    return f"To {stage.name} takes {' + '.join([*terms, f'working memory {mib(stage.activation)}'])} = {mib(need)}"


def mib(size: int) -> str:
    """For people; below a mebibyte in a smaller unit."""
    if size >= 2**30:
        return f"{size / 2**30:,.2f} GiB"
    if size >= 2**20 or size == 0:
        return f"{size / 2**20:,.0f} MiB"
    return f"{size / 2**10:,.0f} KiB" if size >= 2**10 else f"{size} byte{'s' if size != 1 else ''}"
