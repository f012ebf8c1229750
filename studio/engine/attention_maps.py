"""Where each token of the prompt is looked at: the softmax of every cross-attention layer, averaged over heads.

Forward hooks compute it beside the layer, from the layer's own projections, so whatever kernel attends, the picture is the
same. The first evaluation of each step is recorded, of the conditional half alone.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention as Layer

from studio.core.errors import InvalidRequest
from studio.core.traces import Attention, AttentionLayer
from studio.engine.effects import Context


class AttentionMaps:
    """`steps`: of each step so far, layer -> (images, tokens, height, width); empty for one whose denoiser was not called."""

    def __init__(self, context: Context, side: int):
        self._context, self._side = context, side
        denoiser = getattr(context.pipeline, context.loaded.family.denoiser)
        self._layers = {
            name: layer
            for name, layer in denoiser.named_modules()
            if isinstance(layer, Layer) and layer.is_cross_attention and layer.added_kv_proj_dim is None
        }
        if not self._layers:
            raise InvalidRequest(f"{context.loaded.info.title} has no cross-attention that could be recorded.")
        self._now: dict[str, torch.Tensor] = {}
        self.steps: list[dict[str, torch.Tensor]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, layer in self._layers.items():
                stack.callback(layer.register_forward_hook(self._hook(name), with_kwargs=True).remove)
            yield

    def step_ended(self) -> None:
        self.steps.append(self._now)
        self._now = {}

    def tensors(self, place: int) -> tuple[dict[str, torch.Tensor], Attention | None]:
        """`attention.<i>` (steps, tokens, height, width) of the image at `place` of its batch, NaN at steps without."""
        found = next((step for step in self.steps if step), {})
        tensors, layers = {}, []
        for number, (name, maps) in enumerate(found.items()):
            nothing = torch.full_like(maps, torch.nan)
            rows = [step.get(name, nothing)[place] for step in self.steps]
            tensors[f"attention.{number}"] = torch.stack(rows)
            layers.append(AttentionLayer(name=name, height=maps.shape[2], width=maps.shape[3]))
        if not layers:
            return {}, None
        return tensors, Attention(words=self._words(tensors["attention.0"].shape[1]), layers=tuple(layers))

    def _hook(self, name: str) -> Any:
        def hook(layer: Layer, args: Any, kwargs: dict[str, Any], output: Any) -> None:
            words = kwargs.get("encoder_hidden_states")
            if words is None or name in self._now:
                return
            hidden = args[0] if args else kwargs["hidden_states"]
            with torch.no_grad():
                self._now[name] = self._maps(layer, hidden, words, kwargs.get("attention_mask"))

        return hook

    def _maps(self, layer: Any, hidden: torch.Tensor, words: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        count = len(self._context.images)
        own = (
            slice(0, count)
            if len(hidden) == count or self._context.loaded.family.conditional_first
            else slice(-count, None)
        )
        hidden, words = hidden[own], words[own]
        if hidden.ndim == 4:
            hidden = hidden.flatten(2).transpose(1, 2)
        if layer.norm_cross:
            words = layer.norm_encoder_hidden_states(words)
        query, key = layer.to_q(hidden), layer.to_k(words)  # (n, queries, c), (n, tokens, c)
        query, key = (each.unflatten(2, (layer.heads, -1)).transpose(1, 2).float() for each in (query, key))
        if layer.norm_q is not None:
            query, key = layer.norm_q(query), layer.norm_k(key)
        scores = query @ key.transpose(-1, -2) * layer.scale  # (n, heads, queries, tokens)
        if mask is not None:
            scores = scores + mask[own].reshape(count, 1, -1, scores.shape[-1]).float()
        return self._laid_out(scores.softmax(-1).mean(1))

    def _laid_out(self, probabilities: torch.Tensor) -> torch.Tensor:
        """(n, queries, tokens) -> (n, tokens, height, width), on the CPU"""
        width, height = self._context.size
        queries = probabilities.shape[1]
        rows = max(1, round((queries * height / width) ** 0.5))
        while queries % rows:
            rows -= 1
        maps = probabilities.transpose(1, 2).unflatten(2, (rows, queries // rows))
        size = [min(side, self._side) for side in maps.shape[2:]]
        return F.adaptive_avg_pool2d(maps, size).cpu() if size != list(maps.shape[2:]) else maps.cpu()

    def _words(self, tokens: int) -> tuple[str, ...]:
        """What stands at each token of the prompt; empty where the prompt is read in another way."""
        tokenizer = getattr(self._context.pipeline, "tokenizer", None)
        if tokenizer is None:
            return ("",) * tokens
        ids = tokenizer(
            self._context.request.prompt, truncation=True, max_length=tokens, padding="max_length"
        ).input_ids
        return tuple(tokenizer.decode([each]) for each in ids)[:tokens]
