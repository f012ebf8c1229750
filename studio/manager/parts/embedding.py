"""Textual inversions: a word in copies of the tokenizers, and its vectors in the text encoders' embedding layers.

Reads AUTOMATIC1111's files, of one encoder ("emb_params") and of SDXL's two ("clip_l", "clip_g"), and diffusers'
learned_embeds. Several vectors are the words NAME, NAME_1, NAME_2, ..., which diffusers' pipelines write out themselves.
"""

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError
from studio.core.parts.embedding import Embedding
from studio.manager.disk.headers import read_header
from studio.manager.parts.base import Context, Support, register

OF_ENCODER = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}
MOST_VECTORS = 75  # what a prompt holds


class EmbeddingSupport(Support):
    """A part names a file as `model`."""

    def attachments(self, part: Embedding, context: Context) -> dict[str, Path]:
        return {f"embedding {part.model}": context.file(part.model, "embedding")}

    def adapt(self, part: Embedding, context: Context, small: Mapping[str, Any]) -> dict[str, Any]:
        """Copies of the tokenizers that know the word. Raises ModelError where the file does not fit the model."""
        adapted = {}
        for encoder, (_, count) in _places(part, context).items():
            name = encoder.replace("text_encoder", "tokenizer")
            tokenizer = copy.deepcopy(small[name])
            words = _words(part, count)
            if set(words) & tokenizer.get_vocab().keys() or tokenizer.add_tokens(words) != count:
                raise ModelError(f"The model has a word {part.token} of its own; rename the embedding's file.")
            adapted[name] = tokenizer
        return adapted

    @contextmanager
    def attach(self, part: Embedding, context: Context, modules: Mapping[str, Any]) -> Iterator[None]:
        from studio.manager.parts.lora_files import read_tensors

        with ExitStack() as stack:
            tensors: dict[str, Any] = {}
            for encoder, (key, count) in _places(part, context).items():
                if modules.get(encoder) is None:
                    continue
                tensors = tensors or read_tensors(context.file(part.model, "embedding"), "embedding")
                tokenizer = modules[encoder.replace("text_encoder", "tokenizer")]
                ids = tokenizer.convert_tokens_to_ids(_words(part, count))
                vectors = tensors[key].reshape(count, -1)
                stack.enter_context(_known(modules[encoder].get_input_embeddings(), ids, vectors))
            yield


def _words(part: Embedding, count: int) -> list[str]:
    return [part.token, *(f"{part.token}_{number}" for number in range(1, count))]


def _places(part: Embedding, context: Context) -> dict[str, tuple[str, int]]:
    """Encoder -> (the file's tensor for it, how many vectors that has). Raises ModelError."""
    file = context.file(part.model, "embedding")
    found: dict[str, tuple[str, int]] = {}
    try:
        tensors = read_header(file).tensors
    except ModelError as error:
        raise ModelError(f"The embedding {part.token} cannot be used: {error}") from None
    widths = {name: _width(context.own[name].config) for name in context.family.encoders if name in context.own}
    for key, tensor in tensors.items():
        width, count = (tensor.shape[-1], tensor.shape[0] if len(tensor.shape) > 1 else 1) if tensor.shape else (0, 0)
        encoders = [OF_ENCODER[key]] if key in OF_ENCODER and len(tensors) > 1 else list(widths)
        encoder = next((name for name in encoders if widths.get(name) == width), None)
        if len(tensor.shape) > 2 or encoder is None or encoder in found:
            continue
        if not 0 < count <= MOST_VECTORS:
            raise ModelError(f"The embedding {part.token} has {count} vectors; a prompt holds {MOST_VECTORS}.")
        found[encoder] = (key, count)
    if not found:
        takes = f"whose words are {' and '.join(map(str, widths.values()))} numbers"
        raise ModelError(f"The embedding {part.token} does not fit {context.info.title}, {takes}.")
    return found


def _width(config: Mapping[str, Any]) -> int:
    inner = config.get("text_config")
    width = (inner if isinstance(inner, dict) else config).get("hidden_size")
    return width if isinstance(width, int) else 768


@contextmanager
def _known(layer: Any, ids: list[int], vectors: Any) -> Iterator[None]:
    """The embedding layer gives these vectors for these ids; its own table is not touched."""
    import torch

    before, own = layer.__dict__.get("forward"), layer.forward

    def forward(given: Any) -> Any:
        new = [(given == number) for number in ids]
        out = own(torch.where(torch.stack(new).any(dim=0), torch.zeros_like(given), given))
        for where, vector in zip(new, vectors, strict=True):
            out = torch.where(where[..., None], vector.to(out), out)
        return out

    layer.forward = forward
    try:
        yield
    finally:
        del layer.forward
        if before is not None:
            layer.forward = before


register("embedding", EmbeddingSupport())
