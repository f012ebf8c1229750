"""IP-Adapters: their pictures as the image encoder reads them, the share of the steps in which they act, and where."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch

from studio.core.parts import IPAdapter
from studio.core.pictures import as_mask
from studio.engine.effects import PART_EFFECTS, Context, Effect
from studio.engine.observers import Observer
from studio.engine.parts.acting import Acting, acting
from studio.engine.parts.effect_masks import as_tensor
from studio.manager.parts.ip_adapter import HIDDEN

KEY = "ip_adapters"  # of what is kept


def in_order(parts: tuple[IPAdapter, ...]) -> list[IPAdapter]:
    """In the order in which they are attached."""
    return sorted(parts, key=lambda part: part.model_dump_json())


@torch.no_grad()
def arguments(parts: tuple[IPAdapter, ...], context: Context) -> dict[str, Any]:
    """The pictures' embeddings, as the pipeline computes them itself; before the denoiser has to be in memory."""
    guided = context.request.guidance_scale > 1 and context.loaded.family.guidance == "batch"
    units = in_order(parts)
    out: dict[str, Any] = {"ip_adapter_image_embeds": [_embeds(part, context, guided) for part in units]}
    if any(part.mask for part in units):
        out["cross_attention_kwargs"] = {"ip_adapter_masks": [_mask(part, context) for part in units]}
    return out


def _embeds(part: IPAdapter, context: Context, guided: bool) -> torch.Tensor:
    """(uncond and cond, 1, width), or (uncond and cond, 1, tokens, width)."""
    hidden = context.loaded.components[HIDDEN][part.model]
    picture = context.read_image(part.image).convert("RGB")
    own, none = context.pipeline.encode_image(picture, context.loaded.device, 1, hidden)
    return torch.cat([none[None], own[None]] if guided else [own[None]])


def _mask(part: IPAdapter, context: Context) -> torch.Tensor | None:
    if not part.mask:
        return None
    return as_tensor(context.framed(as_mask(context.read_image(part.mask)), "crop"))  # (1, pictures, height, width)


class ActingAdapters(Acting[IPAdapter]):
    """Sets each adapter's scales to 0 outside its share of the steps, where the U-Net's first layer is called."""

    def __init__(self, units: Sequence[IPAdapter], context: Context):
        super().__init__(units, context)
        self.scales: dict[Any, list[float]] = {}  # processor -> its own

    def set(self, *_: Any) -> None:
        on = self.on()
        for processor in self.denoiser.attn_processors.values():
            if hasattr(processor, "to_k_ip"):
                own = self.scales.setdefault(processor, list(processor.scale))
                processor.scale[:] = [scale if acts else 0.0 for scale, acts in zip(own, on, strict=True)]

    @contextmanager
    def applied(self) -> Iterator[None]:
        hook = self.denoiser.conv_in.register_forward_pre_hook(self.set)
        try:
            yield
        finally:
            hook.remove()
            for processor, own in self.scales.items():
                processor.scale[:] = own


def around(parts: tuple[IPAdapter, ...], context: Context) -> AbstractContextManager[None]:
    kept = context.kept.get(KEY)
    return kept.applied() if kept else nullcontext()


def observers(parts: tuple[IPAdapter, ...], context: Context) -> tuple[Observer, ...]:
    return acting(in_order(parts), context, ActingAdapters, KEY)


PART_EFFECTS.add("ip_adapter", Effect(arguments, around, observers))
