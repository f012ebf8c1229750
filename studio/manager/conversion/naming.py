"""From the tensor names that a model was published under to diffusers' and transformers': tables, applied to shapes. Pure.

One tensor of a publisher may hold several of diffusers' (queries, keys and values in a row), and the modulation of a
last layer has shift and scale the other way round; a `Piece` says which rows of which tensor make one tensor here.
What is not in the tables (U-Nets, autoencoders) is converted by diffusers itself, in `importing`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Shapes = Mapping[str, tuple[int, ...]]
LEAF = re.compile(r"\.(weight|bias|scale)$")


@dataclass(frozen=True)
class Piece:
    """One tensor to be written: `shape[0]` rows of `source` from `start` on; halves exchanged where `swapped`."""

    name: str
    shape: tuple[int, ...]
    source: str | None  # None: an identity matrix
    start: int = 0
    swapped: bool = False


@dataclass(frozen=True)
class Rule:
    """`pattern` fits a name without its last word; rows are dealt out to `targets` in these `shares`, evenly if none."""

    pattern: str
    targets: tuple[str, ...]
    shares: tuple[int, ...] = ()
    swapped: bool = False


def _qkv(kind: str = "to_{}") -> tuple[str, ...]:
    return tuple(kind.format(letter) for letter in "qkv")


def _below(stem: str, *names: str) -> tuple[str, ...]:
    return tuple(stem + name for name in names)


_D, _S, _T = r"double_blocks\.(\d+)\.", r"single_blocks\.(\d+)\.", r"transformer_blocks.\1."
FLUX_RULES = (
    Rule("img_in", ("x_embedder",)),
    Rule("txt_in", ("context_embedder",)),
    *(
        Rule(rf"{theirs}\.{place}_layer", (f"time_text_embed.{ours}_embedder.linear_{number}",))
        for theirs, ours in (("time_in", "timestep"), ("vector_in", "text"), ("guidance_in", "guidance"))
        for place, number in (("in", 1), ("out", 2))
    ),
    Rule(_D + r"img_mod\.lin", (_T + "norm1.linear",)),
    Rule(_D + r"txt_mod\.lin", (_T + "norm1_context.linear",)),
    Rule(_D + r"img_attn\.qkv", _below(_T + "attn.", *_qkv())),
    Rule(_D + r"txt_attn\.qkv", _below(_T + "attn.", *_qkv("add_{}_proj"))),
    Rule(_D + r"img_attn\.norm\.query_norm", (_T + "attn.norm_q",)),
    Rule(_D + r"img_attn\.norm\.key_norm", (_T + "attn.norm_k",)),
    Rule(_D + r"txt_attn\.norm\.query_norm", (_T + "attn.norm_added_q",)),
    Rule(_D + r"txt_attn\.norm\.key_norm", (_T + "attn.norm_added_k",)),
    Rule(_D + r"img_attn\.proj", (_T + "attn.to_out.0",)),
    Rule(_D + r"txt_attn\.proj", (_T + "attn.to_add_out",)),
    Rule(_D + r"img_mlp\.0", (_T + "ff.net.0.proj",)),
    Rule(_D + r"img_mlp\.2", (_T + "ff.net.2",)),
    Rule(_D + r"txt_mlp\.0", (_T + "ff_context.net.0.proj",)),
    Rule(_D + r"txt_mlp\.2", (_T + "ff_context.net.2",)),
    Rule(_S + r"modulation\.lin", (r"single_transformer_blocks.\1.norm.linear",)),
    Rule(
        _S + "linear1",
        (*_below(r"single_transformer_blocks.\1.attn.", *_qkv()), r"single_transformer_blocks.\1.proj_mlp"),
        shares=(1, 1, 1, 4),
    ),
    Rule(_S + "linear2", (r"single_transformer_blocks.\1.proj_out",)),
    Rule(_S + r"norm\.query_norm", (r"single_transformer_blocks.\1.attn.norm_q",)),
    Rule(_S + r"norm\.key_norm", (r"single_transformer_blocks.\1.attn.norm_k",)),
    Rule(r"final_layer\.linear", ("proj_out",)),
    Rule(r"final_layer\.adaLN_modulation\.1", ("norm_out.linear",), swapped=True),
)

_X, _C = r"joint_blocks\.(\d+)\.x_block\.", r"joint_blocks\.(\d+)\.context_block\."
SD3_RULES = (
    Rule("pos_embed", ("pos_embed.pos_embed",)),
    Rule(r"x_embedder\.proj", ("pos_embed.proj",)),
    Rule("context_embedder", ("context_embedder",)),
    *(
        Rule(rf"{theirs}_embedder\.mlp\.{place}", (f"time_text_embed.{ours}_embedder.linear_{number}",))
        for theirs, ours in (("t", "timestep"), ("y", "text"))
        for place, number in ((0, 1), (2, 2))
    ),
    Rule(_X + r"attn\.qkv", _below(_T + "attn.", *_qkv())),
    Rule(_C + r"attn\.qkv", _below(_T + "attn.", *_qkv("add_{}_proj"))),
    Rule(_X + r"attn2\.qkv", _below(_T + "attn2.", *_qkv())),
    Rule(_X + r"(attn2?)\.ln_([qk])", (r"transformer_blocks.\1.\2.norm_\3",)),
    Rule(_C + r"attn\.ln_([qk])", (_T + r"attn.norm_added_\2",)),
    Rule(_X + r"(attn2?)\.proj", (r"transformer_blocks.\1.\2.to_out.0",)),
    Rule(_C + r"attn\.proj", (_T + "attn.to_add_out",)),
    Rule(_X + r"adaLN_modulation\.1", (_T + "norm1.linear",)),
    Rule(_C + r"adaLN_modulation\.1", (_T + "norm1_context.linear",)),
    Rule(_X + r"mlp\.fc1", (_T + "ff.net.0.proj",)),
    Rule(_X + r"mlp\.fc2", (_T + "ff.net.2",)),
    Rule(_C + r"mlp\.fc1", (_T + "ff_context.net.0.proj",)),
    Rule(_C + r"mlp\.fc2", (_T + "ff_context.net.2",)),
    Rule(r"final_layer\.linear", ("proj_out",)),
    Rule(r"final_layer\.adaLN_modulation\.1", ("norm_out.linear",), swapped=True),
)


def flux_pieces(shapes: Shapes) -> list[Piece]:
    return _apply(FLUX_RULES, shapes)


def sd3_pieces(shapes: Shapes) -> list[Piece]:
    """The last block's context only shifts and scales (its text goes no further), so that one is a last layer too."""
    last = max((int(m[1]) for key in shapes if (m := re.match(r"joint_blocks\.(\d+)\.", key))), default=0)
    final = Rule(
        rf"joint_blocks\.({last})\.context_block\.adaLN_modulation\.1", (_T + "norm1_context.linear",), swapped=True
    )
    return _apply((final, *SD3_RULES), shapes)


def clip_pieces(shapes: Shapes) -> list[Piece]:
    """CLIP in transformers' naming as it stands; what it counts (position_ids, logit_scale) is not learned text."""
    return [Piece(key, shape, key) for key, shape in shapes.items() if LEAF.search(key)]


_G, _L = r"enc\.blk\.(\d+)\.", r"encoder.block.\1.layer."
T5_GGUF_RULES = (  # llama.cpp's names, of T5 1.1 and its gated feed-forward
    Rule("token_embd", ("shared",)),
    Rule(r"enc\.output_norm", ("encoder.final_layer_norm",)),
    Rule(_G + "attn_([qkvo])", (_L + r"0.SelfAttention.\2",)),
    Rule(_G + "attn_rel_b", (_L + "0.SelfAttention.relative_attention_bias",)),
    Rule(_G + "attn_norm", (_L + "0.layer_norm",)),
    Rule(_G + "ffn_gate", (_L + "1.DenseReluDense.wi_0",)),
    Rule(_G + "ffn_up", (_L + "1.DenseReluDense.wi_1",)),
    Rule(_G + "ffn_down", (_L + "1.DenseReluDense.wo",)),
    Rule(_G + "ffn_norm", (_L + "1.layer_norm",)),
)


def t5_pieces(shapes: Shapes) -> list[Piece]:
    """T5's encoder, whole or without its first word; its embedding goes under one of two names, or under both."""
    if any(key.startswith("enc.blk.") for key in shapes):
        return _apply(T5_GGUF_RULES, shapes)
    embedding = next((key for key in EMBEDDINGS if key in shapes), None)
    made = [Piece("shared.weight", shapes[embedding], embedding)] if embedding else []
    for key, shape in shapes.items():
        if key.endswith(".weight") and key not in EMBEDDINGS:
            made.append(Piece(key if key.startswith("encoder.") else f"encoder.{key}", shape, key))
    return made


EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "embed_tokens.weight")
TABLES: dict[str, Callable[[Shapes], list[Piece]]] = {
    "FluxTransformer2DModel": flux_pieces,
    "SD3Transformer2DModel": sd3_pieces,
    "CLIPTextModel": clip_pieces,
    "CLIPTextModelWithProjection": clip_pieces,
    "T5EncoderModel": t5_pieces,
}


def _apply(rules: tuple[Rule, ...], shapes: Shapes) -> list[Piece]:
    compiled = [(re.compile(rule.pattern), rule) for rule in rules]
    out = []
    for key, shape in shapes.items():
        leaf = LEAF.search(key)
        stem = key[: leaf.start()] if leaf else key
        ending = ("." + leaf[1].replace("scale", "weight")) if leaf else ""
        for pattern, rule in compiled:
            found = pattern.fullmatch(stem)
            if found:
                out += _dealt(key, shape, [found.expand(target) + ending for target in rule.targets], rule)
                break
    return out


def _dealt(key: str, shape: tuple[int, ...], names: list[str], rule: Rule) -> list[Piece]:
    shares = rule.shares or (1,) * len(names)
    unit, start, out = shape[0] // sum(shares), 0, []
    for name, share in zip(names, shares, strict=True):
        rows = unit * share
        out.append(Piece(name, (rows, *shape[1:]), key, start, rule.swapped))
        start += rows
    return out
