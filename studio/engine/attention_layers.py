"""Which layers of a denoiser let the picture attend to the prompt, and the queries and keys with which they do.

Both are computed from the layer's own projections, whatever kernel attends. Depends on diffusers' layers alone, not on a run.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_processor import Attention, JointAttnProcessor2_0, XFormersJointAttnProcessor
from diffusers.models.embeddings import apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxAttention

JOINT = (JointAttnProcessor2_0, XFormersJointAttnProcessor)


@dataclass(frozen=True)
class Attended:
    """The picture's queries and all keys; those at `text` are the prompt's tokens, the others, where there are some, the picture's own."""

    query: torch.Tensor  # (n, heads, queries, c)
    key: torch.Tensor  # (n, heads, keys, c)
    text: slice
    scale: float
    mask: torch.Tensor | None = None  # (n, 1 or heads, 1 or queries, keys), added to the scores


Given = dict[str, Any]  # a layer's arguments by name
Read = Callable[[Any, Given, int], Attended]  # of (layer, arguments, tokens of the prompt as last seen)


def readers(denoiser: torch.nn.Module) -> dict[str, Read]:
    """Name of each layer whose attention to the prompt can be read -> how. Empty where there is none."""
    found = {name: _reader(layer) for name, layer in denoiser.named_modules()}
    return {name: read for name, read in found.items() if read is not None}


def _reader(layer: torch.nn.Module) -> Read | None:
    if isinstance(layer, FluxAttention):
        return _flux if layer.added_kv_proj_dim is not None else _flux_single
    if not isinstance(layer, Attention):
        return None
    if layer.added_kv_proj_dim is not None:
        return _joint if isinstance(layer.processor, JOINT) else None
    return _cross if layer.is_cross_attention else None


def _cross(layer: Any, given: Given, tokens: int) -> Attended:
    """Vaswani et al. 2017; Rombach et al. 2022, section 3.3."""
    hidden, words = given["hidden_states"], given["encoder_hidden_states"]
    if hidden.ndim == 4:
        hidden = hidden.flatten(2).transpose(1, 2)
    if layer.norm_cross:
        words = layer.norm_encoder_hidden_states(words)
    query, key = _split(layer.to_q(hidden), layer), _split(layer.to_k(words), layer)
    if layer.norm_q is not None:
        query, key = layer.norm_q(query), layer.norm_k(key)
    mask = given.get("attention_mask")
    if mask is not None:
        mask = mask.reshape(len(query), -1, 1, key.shape[2])
    return Attended(query, key, slice(0, key.shape[2]), layer.scale, mask)


def _joint(layer: Any, given: Given, tokens: int) -> Attended:
    """Esser et al. 2024 (SD3): one softmax over the picture's keys and then the prompt's."""
    query, key = _split(layer.to_q(given["hidden_states"]), layer), _split(layer.to_k(given["hidden_states"]), layer)
    words = _split(layer.add_k_proj(given["encoder_hidden_states"]), layer)
    if layer.norm_q is not None:
        query, key = layer.norm_q(query), layer.norm_k(key)
    if layer.norm_added_k is not None:
        words = layer.norm_added_k(words)
    key = torch.cat([key, words], dim=2)
    return Attended(query, key, slice(query.shape[2], key.shape[2]), query.shape[3] ** -0.5)


def _flux(layer: Any, given: Given, tokens: int) -> Attended:
    """The prompt's keys and then the picture's, both turned by their places."""
    words = given["encoder_hidden_states"]
    query, key = (_split(project(given["hidden_states"]), layer) for project in (layer.to_q, layer.to_k))
    added = (_split(project(words), layer) for project in (layer.add_q_proj, layer.add_k_proj))
    query = torch.cat([layer.norm_added_q(next(added)), layer.norm_q(query)], dim=2)
    key = torch.cat([layer.norm_added_k(next(added)), layer.norm_k(key)], dim=2)
    return _turned(query, key, given, words.shape[1])


def _flux_single(layer: Any, given: Given, tokens: int) -> Attended:
    """Prompt and picture are one sequence already."""
    query, key = (_split(project(given["hidden_states"]), layer) for project in (layer.to_q, layer.to_k))
    return _turned(layer.norm_q(query), layer.norm_k(key), given, tokens)


def _turned(query: torch.Tensor, key: torch.Tensor, given: Given, tokens: int) -> Attended:
    if (places := given.get("image_rotary_emb")) is not None:
        query, key = (apply_rotary_emb(each, places, sequence_dim=2) for each in (query, key))
    return Attended(query[:, :, tokens:], key, slice(0, tokens), query.shape[3] ** -0.5)


def _split(projected: torch.Tensor, layer: Any) -> torch.Tensor:
    """(n, tokens, heads * c) -> (n, heads, tokens, c)"""
    return projected.unflatten(2, (layer.heads, -1)).transpose(1, 2)
