"""T2I-Adapters: their pictures at the run's size, in the channels that they were trained on, their weights, where and when."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch

from studio.core.parts import T2IAdapter
from studio.engine.effects import PART_EFFECTS, Context, Effect
from studio.engine.observers import Observer
from studio.engine.parts.acting import Acting, acting
from studio.engine.parts.effect_masks import acting_within, mask_of

KEY = "t2i_adapters"  # of what is kept


def arguments(parts: tuple[T2IAdapter, ...], context: Context) -> dict[str, Any]:
    pictures = [
        context.framed(
            context.read_image(part.image).convert("L" if net.config.in_channels == 1 else "RGB"), part.resize
        )
        for part, net in zip(parts, _nets(context), strict=True)
    ]
    values: dict[str, list[Any]] = {"image": pictures, "adapter_conditioning_scale": [part.weight for part in parts]}
    return {name: rows[0] if len(rows) == 1 else rows for name, rows in values.items()}


def _nets(context: Context) -> list[Any]:
    adapter = context.pipeline.adapter
    return list(getattr(adapter, "adapters", None) or [adapter])


class ActingAdapters(Acting[T2IAdapter]):
    """The pipelines call the adapters once and add the same features in every step; where not all of them act, the denoiser is
    given the sum of those that do."""

    def __init__(self, units: Sequence[T2IAdapter], context: Context):
        super().__init__(units, context)
        self.nets = _nets(context)
        self.features: list[list[torch.Tensor]] = []  # of each unit, by level

    def found(self, net: Any, given: Any, features: list[torch.Tensor]) -> None:
        self.features.append(list(features))  # the pipeline weights them in place

    def choose(self, unet: Any, given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
        on = self.on()
        if all(on):
            return None
        weighted = [
            [unit.weight * level for level in own]
            for unit, own, acts in zip(self.units, self.features, on, strict=True)
            if acts
        ]
        levels = [torch.stack(own).sum(0) for own in zip(*weighted, strict=True)]
        rows = len(given[0])
        summed = [level.repeat(rows // len(level), 1, 1, 1) for level in levels]
        return given, named | {"down_intrablock_additional_residuals": summed or None}

    @contextmanager
    def applied(self) -> Iterator[None]:
        with ExitStack() as stack:
            for net in {id(net): net for net in self.nets}.values():
                stack.callback(net.register_forward_hook(self.found).remove)
            stack.callback(self.denoiser.register_forward_pre_hook(self.choose, with_kwargs=True).remove)
            yield


@contextmanager
def around(parts: tuple[T2IAdapter, ...], context: Context) -> Iterator[None]:
    kept = context.kept.get(KEY)
    with (
        acting_within(_nets(context), [mask_of(part, context) for part in parts]),
        kept.applied() if kept else nullcontext(),
    ):
        yield


def observers(parts: tuple[T2IAdapter, ...], context: Context) -> tuple[Observer, ...]:
    return acting(parts, context, ActingAdapters, KEY)


PART_EFFECTS.add("t2i_adapter", Effect(arguments, around, observers))
