"""Which of the models here follow one another in a cascade. No torch."""

from collections.abc import Mapping

from studio.core.cascade import Cascade, Enlarger
from studio.core.models import ModelInfo
from studio.manager.families import FAMILIES


def with_cascade(info: ModelInfo, found: Mapping[str, ModelInfo]) -> ModelInfo:
    """`info` with what enlarges its picture: of each family that may follow, the largest model here, up to the first that
    is not. Its own default size is then that of the second model."""
    usable = info.family in FAMILIES and info.problem is None
    wanted = FAMILIES.get(info.family or "").enlargers if usable else ()
    width, height = info.defaults.width, info.defaults.height
    enlargers: list[Enlarger] = []
    for name in wanted:
        fitting = [other for other in found.values() if other.family == name and other.problem is None]
        if not fitting:
            break
        enlargers.append(_enlarger(max(fitting, key=lambda other: (other.bytes, other.id)), width))
        width, height = width * enlargers[-1].factor, height * enlargers[-1].factor
    if not enlargers:
        return info
    cascade = Cascade(width=info.defaults.width, height=info.defaults.height, enlargers=tuple(enlargers))
    second = dict(zip(("width", "height"), cascade.sizes()[1], strict=True))
    return info.model_copy(update={"cascade": cascade, "defaults": info.defaults.model_copy(update=second)})


def _enlarger(info: ModelInfo, width: int) -> Enlarger:
    """`width` is the picture's before it."""
    enlarging = FAMILIES.get(info.family or "").enlarging
    assert enlarging is not None
    return Enlarger(
        id=info.id,
        title=info.title,
        factor=enlarging.factor or max(round(info.defaults.width / width), 1),
        sampler=info.defaults.sampler,
        steps=info.defaults.steps,
        guidance_scale=info.defaults.guidance_scale,
        noise_level=enlarging.noise_level,
        most_noise=enlarging.most_noise,
    )
