"""How pipelines lay out their state and their guidance, inferred from the tensors themselves.

Some denoise a picture's patches in a row, some a video of one frame, some fold each 2x2 cells into channels; some call
the denoiser once for both predictions, some twice, and in either order. Depends on shapes and numbers, on no pipeline by name.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from studio.core.request import GenerationRequest
from studio.manager.manager import Loaded

FOLD = 2  # cells a side that are folded into channels


@dataclass(frozen=True)
class Spatial:
    """Lays a state out as (n, c, h, w). `channels` are the autoencoder's; None where unknown, or in pixels."""

    width: int  # of the picture, in pixels
    height: int
    channels: int | None = None
    cells_first: bool = False  # of folded channels: the cell varies slower than the channel

    def __call__(self, tensor: torch.Tensor) -> torch.Tensor:
        """(n, tokens, c), (n, c, 1, h, w), (n, 1, h, w, c) or (n, c, h, w); what is none of these comes back as it is."""
        if tensor.ndim == 3:
            tensor = self._in_rows(tensor)
        elif tensor.ndim == 5 and tensor.shape[2] == 1:
            tensor = tensor.squeeze(2)
        elif tensor.ndim == 5 and tensor.shape[1] == 1:
            tensor = tensor.squeeze(1).permute(0, 3, 1, 2)
        folded = self.channels is not None and tensor.ndim == 4 and tensor.shape[1] == FOLD**2 * self.channels
        return F.pixel_shuffle(self._channels_first(tensor), FOLD) if folded else tensor

    def folded(self, tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """The inverse: (n, c, h, w) as the state `like` lays it out, but for its number of rows."""
        cells = like.shape[1] if like.ndim == 4 else like.shape[-1] if like.ndim == 3 else None
        if cells == FOLD**2 * tensor.shape[1]:
            tensor = F.pixel_unshuffle(tensor, FOLD)
            if self.cells_first:
                tensor = tensor.unflatten(1, (-1, FOLD**2)).transpose(1, 2).flatten(1, 2)
        if like.ndim == 3:
            return tensor.flatten(2).transpose(1, 2)
        if like.ndim == 5:
            return tensor.unsqueeze(2) if like.shape[2] == 1 else tensor.permute(0, 2, 3, 1).unsqueeze(1)
        return tensor

    def _channels_first(self, folded: torch.Tensor) -> torch.Tensor:
        """(n, 4 c, h, w), as PixelShuffle reads the channels"""
        return folded.unflatten(1, (FOLD**2, -1)).transpose(1, 2).flatten(1, 2) if self.cells_first else folded

    def _in_rows(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, tokens, c) -> (n, c, h, w), the picture's shape telling h and w"""
        count = tokens.shape[1]
        h = round(math.sqrt(count * self.height / self.width))
        if not h or count % h:
            return tokens
        return tokens.transpose(1, 2).unflatten(2, (h, count // h))


def spatial_of(request: GenerationRequest, loaded: Loaded) -> Spatial:
    """How the state of a run is laid out as a picture."""
    config = getattr(loaded.components.get(loaded.family.decoder or ""), "config", None)
    channels = getattr(config, "latent_channels", None) or getattr(config, "z_dim", None)
    return Spatial(request.width or 0, request.height or 0, channels, loaded.family.cells_first)


def as_batch(output: Any) -> torch.Tensor:
    """The prediction in what a denoiser returned: a tensor, or one tensor an image, alone or first of several things."""
    several = isinstance(output, tuple) or hasattr(output, "to_tuple")  # diffusers' outputs are both
    first = output[0] if several else output
    if isinstance(first, list | tuple):
        first = torch.stack(list(first))
    assert isinstance(first, torch.Tensor)
    return first.detach()


def own_part(output: torch.Tensor, used: torch.Tensor) -> torch.Tensor:
    """Of a prediction for more than the state, that for the state: (n, more, ...) -> (n, as `used` has, ...).

    More are a learned variance after the state's own channels, or the patches of other pictures or words on either side.
    """
    size = used.shape[1]
    if output.ndim != 3 or output.shape[1] <= size:
        return output[:, :size]
    like = used.repeat(len(output) // len(used) or 1, 1, 1)[: len(output)]
    head, tail = output[:, :size], output[:, -size:]
    return max((head, tail), key=lambda part: abs(_cosine(_flat(part), _flat(like))))


def pair_in(outputs: list[torch.Tensor], count: int) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """The two predictions of one step for `count` images, each (count, ...), in the order in which they came; or the one."""
    alike = len({output.shape[1:] for output in outputs}) == 1
    rows = torch.cat(outputs) if alike and len(outputs[0]) == count else outputs[0]
    if len(rows) in (2 * count, 3 * count):  # a third is of perturbed attention (Ahn et al. 2024), after the two
        first, second = rows[: 2 * count].split(count)
        return first, second
    return (rows, None) if len(rows) == count else (None, None)


def conditional_first(first: torch.Tensor, second: torch.Tensor, *made: torch.Tensor) -> bool:
    """Whether the first of two predictions is the conditional one, inferred from tensors computed from both; all (n, ...).

    Guidance goes from the unconditional past the conditional one, u + g (c - u), so the result lies on the conditional's
    side of their mean. Some pipelines rescale the sum or change its sign, so the component along the mean counts by its
    sign only.
    """
    a, b = _flat(first), _flat(second)
    middle, apart = (a + b) / 2, a - b
    used = max((_flat(one) for one in made), key=lambda one: abs(_cosine(one, middle)))
    along = float(used @ middle) / max(float(middle @ middle), 1e-30)
    return float((used - along * middle) @ apart) * (1 if along >= 0 else -1) > 0


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.flatten().cpu().double()  # the two may differ in the last digits alone


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(F.cosine_similarity(a, b, dim=0))
