"""What runs have taught: how much working memory a shape took, and which rungs of the ladder it needed. No torch.

Kept in the index, by family, sizes and shape: models of one architecture learn together.
"""

from studio.manager.disk.index import Index
from studio.manager.families import Family
from studio.manager.memory.estimate import Shape, Weights

MARGIN = 1.1  # a measured peak is met again, more or less; and a budget so much larger is another budget


class Experience:
    """The memory of one kind of device."""

    def __init__(self, index: Index, device: str):
        self._index, self._device = index, device

    def working(self, run: str) -> int | None:
        """Bytes to plan for, where a run of this kind was measured."""
        known = self._index.facts(f"working:{run}", self._device)
        return int(known["bytes"] * MARGIN) if known else None

    def learn(self, run: str, peak: int) -> None:
        """Keep the most that such a run took beside its weights."""
        known = self._index.facts(f"working:{run}", self._device)
        most = max(peak, known["bytes"] if known else 0)
        self._index.put_facts([(f"working:{run}", self._device, {"bytes": most})])

    def rungs(self, run: str, budget: int) -> tuple[str, ...]:
        """The rungs that such a run begins with; none where there is more memory now than when it needed them."""
        known = self._index.facts(f"climbed:{run}", self._device)
        return tuple(known["rungs"]) if known and budget <= known["budget"] * MARGIN else ()

    def remember_rungs(self, run: str, rungs: tuple[str, ...], budget: int) -> None:
        self._index.put_facts([(f"climbed:{run}", self._device, {"rungs": list(rungs), "budget": budget})])


def kind_of_run(facts: dict[str, Weights], family: Family, shape: Shape, dtype: str) -> str:
    """What decides a run's working memory, as a key."""
    sizes = "-".join(f"{name}{w.elements}" for name, w in sorted(facts.items()))
    guided = "guided" if shape.guided else "plain"
    return f"{family.name}:{sizes}:{shape.width}x{shape.height}x{shape.batch}:{guided}:{dtype}"
