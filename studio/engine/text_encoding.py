"""A weighted prompt as embeddings: the pipeline's own `encode_prompt`, chunk by chunk, then A1111's emphasis.

Emphasis multiplies each token's embedding by its weight and restores the mean. CLIP alone reads a long prompt in chunks,
each as long as the encoder, which `BREAK` ends early; T5 reads one row of tokens, and to it `BREAK` is a space.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from studio.prompts import Piece, weighted

COMMA_BACKTRACK = 20  # tokens: a chunk ends at a comma that is no farther back than this
MEAN_RANGE = (0.5, 2.0)  # a mean that changes by more than that is near zero, and no measure of the whole
Embeddings = dict[str, torch.Tensor]  # argument of the pipeline's call -> one row


@dataclass(frozen=True)
class TextInputs:
    """How a family's pipelines pass a prompt on. A name is an argument of the call; with `negative_` before it, its opposite."""

    outputs: Mapping[str, int]  # name -> its place in what encode_prompt returns
    inputs: Mapping[str, tuple[str, ...]]  # name -> its path in the denoiser's keyword arguments
    chunked: bool = True  # CLIP alone: several chunks may follow one another
    repeats: bool = True  # the pipeline repeats embeddings for each image of a prompt


_HIDDEN = {"prompt_embeds": ("encoder_hidden_states",)}
_POOLED = _HIDDEN | {"pooled_prompt_embeds": ("pooled_projections",)}
_CLIP = TextInputs({"prompt_embeds": 0}, _HIDDEN)
FAMILIES = {
    "sd1": _CLIP,
    "sd2": _CLIP,
    "lcm": _CLIP,
    "sdxl": TextInputs(
        {"prompt_embeds": 0, "pooled_prompt_embeds": 2},
        _HIDDEN | {"pooled_prompt_embeds": ("added_cond_kwargs", "text_embeds")},
    ),
    "sd3": TextInputs({"prompt_embeds": 0, "pooled_prompt_embeds": 2}, _POOLED, chunked=False, repeats=False),
    "flux": TextInputs({"prompt_embeds": 0, "pooled_prompt_embeds": 1}, _POOLED, chunked=False, repeats=False),
    "pixart": TextInputs(
        {"prompt_embeds": 0, "prompt_attention_mask": 1},
        _HIDDEN | {"prompt_attention_mask": ("encoder_attention_mask",)},
        chunked=False,
    ),
}


@dataclass
class Chunk:
    """What the encoder reads at once, with a weight for each character."""

    text: str = ""
    weights: list[float] = field(default_factory=list)

    def add(self, text: str, weight: float) -> None:
        if self.text[-1:].isalnum() and text[:1].isalnum():
            text = f" {text}"  # A1111 reads each piece by itself, so that a word ends with it
        self.text += text
        self.weights += [weight] * len(text)

    def cut(self, start: int, end: int) -> "Chunk":
        return Chunk(self.text[start:end], self.weights[start:end])


class Encoder:
    """Encodes prompts with one pipeline; the same text twice costs once."""

    def __init__(self, pipeline: Any, family: str, options: dict[str, Any]):
        self.pipeline, self.family, self.inputs = pipeline, family, FAMILIES[family]
        takes = inspect.signature(pipeline.encode_prompt).parameters
        device = pipeline._execution_device
        options |= {"device": device, "num_images_per_prompt": 1, "do_classifier_free_guidance": False}
        self._options = {name: value for name, value in options.items() if name in takes}
        self._others = {name: None for name in ("prompt_2", "prompt_3") if name in takes}
        self._known: dict[str, Embeddings] = {}

    def chunks(self, text: str) -> list[Chunk]:
        """The prompt as the encoder reads it: one chunk or more."""
        segments = _segments(weighted(text))
        if self.inputs.chunked:
            return [chunk for segment in segments for chunk in self._split(segment)]
        whole = Chunk()
        for segment in segments:
            whole.add(" " if whole.text else "", 1.0)
            whole.text += segment.text
            whole.weights += segment.weights
        return [whole]

    def encode(self, text: str, chunks: int, prefix: str = "") -> Embeddings:
        """The embeddings of a text in so many chunks; what it has fewer is empty ones. Pooled ones are of the first.
        `prefix`: "negative_" for a negative prompt, whose layer diffusers leaves as it is, whatever the clip skip."""
        key = f"{prefix}{chunks} {text}"
        if key not in self._known:
            own = self.chunks(text)
            options = {n: value for n, value in self._options.items() if not (prefix and n == "clip_skip")}
            rows = [self._encode(chunk, options) for chunk in [*own, *[Chunk()] * (chunks - len(own))]]
            joined = torch.cat([row["prompt_embeds"] for row in rows], dim=1)  # (1, chunks * tokens, features)
            self._known[key] = rows[0] | {"prompt_embeds": joined}
        return self._known[key]

    @torch.no_grad()
    def _encode(self, chunk: Chunk, options: dict[str, Any]) -> Embeddings:
        made = self.pipeline.encode_prompt(prompt=chunk.text, **self._others, **options)
        found = {name: made[place] for name, place in self.inputs.outputs.items()}
        if any(weight != 1.0 for weight in chunk.weights):
            found["prompt_embeds"] = self._emphasised(found["prompt_embeds"], chunk)
        return found

    def _emphasised(self, embeds: torch.Tensor, chunk: Chunk) -> torch.Tensor:
        embeds = embeds.clone()  # (1, tokens, features)
        for tokenizer, rows, features in self._sections(embeds):
            part = embeds[:, rows, features].float()
            weights = torch.tensor(row_weights(tokenizer, chunk, part.shape[1]), device=part.device)
            embeds[:, rows, features] = emphasised(part, weights).to(embeds.dtype)
        return embeds

    def _sections(self, embeds: torch.Tensor) -> Iterator[tuple[Any, slice, slice]]:
        """(tokenizer, rows, features) of each encoder's share of the embeddings."""
        pipeline, whole = self.pipeline, slice(None)
        if self.family == "flux":
            yield pipeline.tokenizer_2, whole, whole
            return
        if self.family not in ("sdxl", "sd3"):
            yield pipeline.tokenizer, whole, whole
            return
        clips = [name for name in ("", "_2") if getattr(pipeline, f"text_encoder{name}", None) is not None]
        tokens = getattr(pipeline, f"tokenizer{clips[0]}").model_max_length if clips else 0
        rows, at = slice(0, tokens), 0
        for name in clips:
            width = getattr(pipeline, f"text_encoder{name}").config.hidden_size
            yield getattr(pipeline, f"tokenizer{name}"), rows, slice(at, at + width)
            at += width
        if self.family == "sd3" and pipeline.text_encoder_3 is not None:
            yield pipeline.tokenizer_3, slice(tokens, embeds.shape[1]), whole

    def _split(self, segment: Chunk) -> Iterator[Chunk]:
        tokenizer = getattr(self.pipeline, "tokenizer", None) or self.pipeline.tokenizer_2
        room = tokenizer.model_max_length - 2  # less the marks of beginning and end
        spans = tokenizer(segment.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        for start, end in _cuts(segment.text, spans["offset_mapping"], room):
            yield segment.cut(start, end)


def emphasised(embeds: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """(1, tokens, features) by (tokens,), with the mean of before."""
    made = embeds * weights[None, :, None]
    if torch.equal(made, embeds):
        return embeds
    ratio = float(embeds.mean() / made.mean()) if float(made.mean()) else 0.0
    return made * ratio if MEAN_RANGE[0] < ratio < MEAN_RANGE[1] else made


def row_weights(tokenizer: Any, chunk: Chunk, rows: int) -> list[float]:
    """The weight of each row of the embeddings; 1 for marks and padding."""
    spans = tokenizer(chunk.text, padding="max_length", max_length=rows, truncation=True, return_offsets_mapping=True)[
        "offset_mapping"
    ]
    return [chunk.weights[end - 1] if end > start else 1.0 for start, end in spans]


def _segments(pieces: Sequence[Piece]) -> list[Chunk]:
    """What stands between BREAKs; at least one."""
    found = [Chunk()]
    for piece in pieces:
        found[-1].add(piece.text, piece.weight)
        if piece.ends_chunk:
            found.append(Chunk())
    return found if found[-1].text or len(found) == 1 else found[:-1]


def _cuts(text: str, spans: Sequence[tuple[int, int]], room: int) -> Iterator[tuple[int, int]]:
    """Where a text of tokens at `spans` is cut, so that each piece has at most `room`: after a comma if one is near, and
    not within a word."""
    first = start = 0
    while len(spans) - first > room:
        end = first + room
        commas = [n for n in range(max(first, end - COMMA_BACKTRACK), end) if text[slice(*spans[n])].strip() == ","]
        cut = commas[-1] + 1 if commas else end
        while cut > first and spans[cut - 1][1] == spans[cut][0] and text[spans[cut][0] - 1].isalnum():
            cut -= 1
        cut = cut if cut > first else end
        yield start, spans[cut - 1][1]
        first, start = cut, spans[cut][0]
    yield start, len(text)
