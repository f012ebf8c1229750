"""A mask of where a ControlNet acts: what it adds to the denoiser is multiplied by the mask, at each resolution.

Done by a hook on the ControlNet for the length of a call, so the pipeline is the stock one; without masks there is no hook.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from studio.core.parts.control_unit import ControlUnit
from studio.core.pictures import as_mask
from studio.engine.effects import Context

Mask = Callable[[], torch.Tensor]


def as_tensor(mask: Image.Image) -> torch.Tensor:
    """A mask's picture (L) as (1, 1, height, width) in 0..1."""
    levels = torch.frombuffer(bytearray(mask.convert("L").tobytes()), dtype=torch.uint8)
    return levels.reshape(1, 1, mask.height, mask.width).float() / 255


def mask_of(part: ControlUnit, context: Context) -> Mask | None:
    """The part's mask of effect, made once, where it is needed. It is resized as the control image is, whose size it has where
    it was painted over it."""
    if part.mask is None:
        return None
    picture = as_mask(context.read_image(part.mask))
    return functools.cache(lambda: as_tensor(context.framed(picture, part.resize)))


def masked(found: Any, mask: torch.Tensor) -> Any:
    """`found` as ControlNets return it, however nested, with each residual times the mask at its own resolution: maps
    (batch, channels, height, width), and the patches of a transformer (batch, patches, channels)."""
    if isinstance(found, torch.Tensor):
        return found * _scaled(mask, found)
    if isinstance(found, dict):  # the libraries' output classes
        return type(found)(**{name: masked(value, mask) for name, value in found.items()})
    if isinstance(found, tuple | list):
        return type(found)(masked(value, mask) for value in found)
    return found


def _scaled(mask: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    if like.ndim == 4:
        return _at(mask, like.shape[2], like.shape[3]).to(like)
    patches = like.shape[1]
    rows = max(1, round((patches * mask.shape[2] / mask.shape[3]) ** 0.5))
    while patches % rows:
        rows -= 1
    return _at(mask, rows, patches // rows).flatten(2).transpose(1, 2).to(like)  # (1, patches, 1)


def _at(mask: torch.Tensor, height: int, width: int) -> torch.Tensor:
    return F.interpolate(mask, (height, width), mode="area")


@contextmanager
def acting_within(nets: Sequence[torch.nn.Module], masks: Sequence[Mask | None]) -> Iterator[None]:
    """Each of the ControlNets acts within its mask, None being everywhere. One that several units share is called for each
    of them in turn. A mask is asked for when it is needed, when the task has said which region the model sees."""
    by_net: dict[int, list[Mask | None]] = {}
    for net, mask in zip(nets, masks, strict=True):
        by_net.setdefault(id(net), []).append(mask)
    with ExitStack() as stack:
        for net in {id(net): net for net in nets}.values():
            own = by_net[id(net)]
            if any(mask is not None for mask in own):
                turns = itertools.cycle(own)
                hook = net.register_forward_hook(lambda module, given, found, turns=turns: _turn(found, next(turns)))
                stack.callback(hook.remove)
        yield


def _turn(found: Any, mask: Mask | None) -> Any:
    return found if mask is None else masked(found, mask())
