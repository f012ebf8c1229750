"""What a run is expected to take: from headers alone, or as it was measured when one like it ran before.

Measurements, and the fallbacks that were needed, are kept in the index by family, sizes and shape, so that models of one
architecture share them.
"""

from dataclasses import dataclass

from studio.manager.disk.index import Index
from studio.manager.families import Family
from studio.manager.memory.assembly import Assembled
from studio.manager.memory.estimate import Shape, Weights, attached_weights, weights_of
from studio.manager.memory.fallbacks import Variant, variants
from studio.manager.memory.planner import Stage

MARGIN = 1.1  # a measured peak is met again, more or less; and a budget so much larger is another budget


@dataclass(frozen=True)
class Estimate:
    """`run` names the kind of run that measurements are kept by; `measured` is its working memory if one like it has run."""

    shape: Shape
    run: str
    measured: int | None
    variants: list[Variant]

    @property
    def stages(self) -> list[Stage]:
        """Of the run as it was asked for."""
        return self.variants[0][1]


class Experience:
    """What was measured on one kind of device."""

    def __init__(self, index: Index, device: str):
        self._index, self._device = index, device

    def estimate(self, model: Assembled, shape: Shape) -> Estimate:
        weights = {name: weights_of(source) for name, source in model.parts.sources.items()}
        attached = attached_weights(model.parts.attachments)
        run = _kind_of_run({**weights, **attached}, model.family, shape, model.dtype)
        known = self._index.facts(f"working:{run}", self._device)
        measured = int(known["bytes"] * MARGIN) if known else None
        found = variants(
            model.family,
            weights,
            shape,
            model.dtype,
            self._device,
            measured,
            keys={name: component.key for name, component in model.components.items()},
            attached=attached,
            streamable=model.parts.streamable,
        )
        return Estimate(shape, run, measured, found)

    def learn(self, run: str, peak: int) -> None:
        """Keep the most that such a run took beside its weights."""
        known = self._index.facts(f"working:{run}", self._device)
        most = max(peak, known["bytes"] if known else 0)
        self._index.put_facts([(f"working:{run}", self._device, {"bytes": most})])

    def fallbacks(self, run: str, budget: int) -> tuple[str, ...]:
        """Those that such a run begins with; none where there is more memory now than when it needed them."""
        known = self._index.facts(f"fallbacks:{run}", self._device)
        return tuple(known["names"]) if known and budget <= known["budget"] * MARGIN else ()

    def remember_fallbacks(self, run: str, names: tuple[str, ...], budget: int) -> None:
        self._index.put_facts([(f"fallbacks:{run}", self._device, {"names": list(names), "budget": budget})])


def _kind_of_run(weights: dict[str, Weights], family: Family, shape: Shape, dtype: str) -> str:
    """What decides a run's working memory, as a key."""
    sizes = "-".join(f"{name}{w.elements}" for name, w in sorted(weights.items()))
    guided = "guided" if shape.guided else "plain"
    return f"{family.name}:{sizes}:{shape.width}x{shape.height}x{shape.batch}:{guided}:{dtype}"
