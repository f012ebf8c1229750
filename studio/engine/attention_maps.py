"""Where each word of the prompt is looked at: the softmax of every layer in which the picture attends to the prompt.

Forward hooks compute it beside the layer (`attention_layers.py`), so the picture is the same. The first evaluation of each
step is recorded, of the conditional half alone.
"""

import inspect
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F

from studio.core import parts
from studio.core.errors import InvalidRequest
from studio.core.traces import Attention, AttentionLayer
from studio.engine.attention_layers import Attended, Read, readers
from studio.engine.attention_words import PICTURE, Words, words_of
from studio.engine.effects import Context

MOST_BYTES = 512 * 2**20  # of all maps of a batch


class AttentionMaps:
    """`steps`: of each step so far, layer -> (images, heads, words, height, width); empty for one whose denoiser was not called."""

    def __init__(self, context: Context, part: parts.Attention):
        self._context, self._part = context, part
        self._denoiser = getattr(context.pipeline, context.loaded.family.denoiser)
        self._readers = readers(self._denoiser)
        if not self._readers:
            raise InvalidRequest(f"{context.loaded.info.title} has no attention to the prompt that could be recorded.")
        self._words: Words | None = None
        self._tokens = 0  # of the prompt, in the layer before
        self._joint = False
        self._now: dict[str, torch.Tensor] = {}
        self.steps: list[dict[str, torch.Tensor]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, read in self._readers.items():
                layer = self._denoiser.get_submodule(name)
                stack.callback(layer.register_forward_hook(self._hook(name, read), with_kwargs=True).remove)
            yield

    def step_ended(self) -> None:
        self.steps.append(self._now)
        self._now = {}

    def tensors(self, place: int) -> tuple[dict[str, torch.Tensor], Attention | None]:
        """`attention.<i>` (steps, heads, words, height, width) of the image at `place` of its batch, NaN at steps without."""
        found = next((step for step in self.steps if step), {})
        tensors, layers = {}, []
        for number, (name, maps) in enumerate(found.items()):
            nothing = torch.full_like(maps, torch.nan)
            tensors[f"attention.{number}"] = torch.stack([step.get(name, nothing)[place] for step in self.steps])
            _, heads, _, height, width = maps.shape
            layers.append(AttentionLayer(name=name, heads=heads, height=height, width=width))
        if not layers or self._words is None:
            return {}, None
        texts, marks = self._words.texts, self._words.marks
        if self._joint:
            texts, marks = (*texts, PICTURE), (*marks, len(texts))
        return tensors, Attention(words=texts, marks=marks, layers=tuple(layers))

    def _hook(self, name: str, read: Read) -> Any:
        names: list[str] = []

        def hook(layer: Any, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            names[:] = names or list(inspect.signature(layer.forward).parameters)
            given = dict(zip(names, args, strict=False)) | kwargs
            words = given.get("encoder_hidden_states")
            if isinstance(words, tuple):  # with an IP-Adapter: the text, and the pictures that are looked at beside it
                words = given["encoder_hidden_states"] = words[0]
            if name in self._now or (words is None and not self._tokens):
                return
            self._tokens = self._tokens if words is None else words.shape[1]
            with torch.no_grad():
                self._now[name] = self._maps(read(layer, self._own(given), self._tokens))
            self._check()

        return hook

    def _own(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments with the conditional half of the rows alone."""
        count, rows = len(self._context.images), len(given["hidden_states"])
        first = rows == count or self._context.loaded.family.conditional_first
        own = slice(0, count) if first else slice(-count, None)
        batched = {"hidden_states", "encoder_hidden_states"}
        made = {name: value[own] if name in batched and value is not None else value for name, value in given.items()}
        mask = given.get("attention_mask")
        if mask is not None:
            made["attention_mask"] = mask.unflatten(0, (rows, -1))[own].flatten(0, 1)
        return made

    def _maps(self, seen: Attended) -> torch.Tensor:
        """(n, heads or 1, words, height, width) on the CPU: one head after another, so that no more than its scores are held."""
        maps: list[torch.Tensor] = []
        for head in range(seen.query.shape[1]):
            scores = seen.query[:, head].float() @ seen.key[:, head].float().transpose(1, 2) * seen.scale
            if seen.mask is not None:
                scores = scores + seen.mask[:, min(head, seen.mask.shape[1] - 1)].float()
            shares = self._by_word(scores.softmax(-1), seen.text)  # (n, queries, words)
            if self._part.heads or not maps:
                maps.append(shares)
            else:
                maps[0] = maps[0] + shares
        if not self._part.heads:
            maps[0] = maps[0] / seen.query.shape[1]
        return torch.stack([self._laid_out(each) for each in maps], dim=1)

    def _by_word(self, shares: torch.Tensor, text: slice) -> torch.Tensor:
        tokens = shares[..., text]
        if self._words is None:
            context = self._context
            self._words = words_of(context.request, context.pipeline, context.loaded.family.name, tokens.shape[-1])
        made = [tokens[..., list(columns)].sum(-1) for columns in self._words.columns]
        self._joint = tokens.shape[-1] < shares.shape[-1]
        if self._joint:
            made.append(shares[..., : text.start].sum(-1) + shares[..., text.stop :].sum(-1))
        return torch.stack(made, dim=-1)

    def _laid_out(self, shares: torch.Tensor) -> torch.Tensor:
        """(n, queries, words) -> (n, words, height, width)"""
        width, height = self._context.size
        queries = shares.shape[1]
        rows = max(1, round((queries * height / width) ** 0.5))
        while queries % rows:
            rows -= 1
        maps = shares.transpose(1, 2).unflatten(2, (rows, queries // rows))
        size = [min(side, self._part.side) for side in maps.shape[2:]]
        return F.adaptive_avg_pool2d(maps, size).cpu() if size != list(maps.shape[2:]) else maps.cpu()

    def _check(self) -> None:
        """Raises InvalidRequest as soon as it is seen that all steps would take more than MOST_BYTES."""
        request = self._context.request
        steps = request.task.steps_run(request.steps, self._context.loaded.info.capabilities.partial_steps)
        size = steps * sum(maps.numel() * maps.element_size() for maps in self._now.values())
        if size > MOST_BYTES:
            raise InvalidRequest(
                f"The attention of {steps} steps would take more than {MOST_BYTES // 2**20} MiB. Record the mean of the heads, or "
                "fewer cells a side."
            )
