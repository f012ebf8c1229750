"""What one run of a model is reckoned to take, and by which ways it may go. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from studio.manager.families import Family
from studio.manager.memory.estimate import Shape, Weights, stages_for
from studio.manager.memory.experience import Experience, kind_of_run
from studio.manager.memory.planner import Stage
from studio.manager.memory.thrift import Way, decoder_config, thriftier


@dataclass(frozen=True)
class Reckoning:
    """`run` names the kind of run that experience is kept by; `measured` is its working memory if one like it has run."""

    shape: Shape
    run: str
    measured: int | None
    stages: list[Stage]
    ways: list[Way]  # as it was wished first, the thriftiest last


def reckon(
    family: Family,
    weights: dict[str, Weights],  # of the components that are weighty
    shape: Shape,
    dtype: str,
    device: str,
    keys: Mapping[str, str],  # component -> the planner's key for it
    experience: Experience,
) -> Reckoning:
    run = kind_of_run(weights, family, shape, dtype)
    measured = experience.working(run)
    stages_of = partial(stages_for, family, weights, dtype=dtype, device=device, keys=dict(keys))
    stages = stages_of(shape, measured=measured)
    ways: list[Way] = [((), stages), *thriftier(stages_of, shape, decoder_config(weights, family))]
    return Reckoning(shape, run, measured, stages, ways)
