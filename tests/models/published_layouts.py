"""Whole checkpoints and attachments, every tensor by its published name and at its full size, as files that take no room.

`layouts.py` holds the few tensors that tell models apart; here are all of them, so that no rule is fooled by the rest.
CompVis' names are written out by the architecture; diffusers' come from its own classes, without data.
"""

from collections.abc import Iterator
from functools import cache
from typing import Any

from studio import compat

Shapes = dict[str, tuple[int, ...]]
P = "model.diffusion_model."


def prefixed(prefix: str, shapes: Shapes) -> Shapes:
    return {prefix + name: shape for name, shape in shapes.items()}


# ---- CompVis / Stability naming --------------------------------------------------------------------------------------


def _linear(name: str, out: int, into: int, bias: bool = True) -> Shapes:
    return {f"{name}.weight": (out, into)} | ({f"{name}.bias": (out,)} if bias else {})


def _conv(name: str, out: int, into: int, kernel: int = 3) -> Shapes:
    return {f"{name}.weight": (out, into, kernel, kernel), f"{name}.bias": (out,)}


def _norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def _residual(name: str, into: int, out: int, time: int) -> Shapes:
    shapes = _norm(f"{name}.in_layers.0", into) | _conv(f"{name}.in_layers.2", out, into)
    shapes |= _linear(f"{name}.emb_layers.1", out, time) | _norm(f"{name}.out_layers.0", out)
    shapes |= _conv(f"{name}.out_layers.3", out, out)
    return shapes | (_conv(f"{name}.skip_connection", out, into, 1) if into != out else {})


def _transformer(name: str, width: int, context: int, depth: int, linear: bool) -> Shapes:
    project = _linear if linear else (lambda n, o, i: _conv(n, o, i, 1))
    shapes = _norm(f"{name}.norm", width) | project(f"{name}.proj_in", width, width)
    for block in range(depth):
        stem = f"{name}.transformer_blocks.{block}"
        for attention, into in (("attn1", width), ("attn2", context)):
            shapes |= _linear(f"{stem}.{attention}.to_q", width, width, False)
            shapes |= _linear(f"{stem}.{attention}.to_k", width, into, False)
            shapes |= _linear(f"{stem}.{attention}.to_v", width, into, False)
            shapes |= _linear(f"{stem}.{attention}.to_out.0", width, width)
        shapes |= _linear(f"{stem}.ff.net.0.proj", 8 * width, width) | _linear(f"{stem}.ff.net.2", width, 4 * width)
        for norm in ("norm1", "norm2", "norm3"):
            shapes |= _norm(f"{stem}.{norm}", width)
    return shapes | project(f"{name}.proj_out", width, width)


def ldm_unet(
    context: int,
    widths: tuple[int, ...] = (320, 640, 1280, 1280),
    depths: tuple[int, ...] = (1, 1, 1, 0),
    middle: int = 1,
    label: int = 0,
    inputs: int = 4,
    linear: bool = False,
) -> Shapes:
    """`openaimodel.UNetModel` with two residual blocks a level."""
    base, time = widths[0], 4 * widths[0]
    shapes = _linear("time_embed.0", time, base) | _linear("time_embed.2", time, time)
    if label:
        shapes |= _linear("label_emb.0.0", time, label) | _linear("label_emb.0.2", time, time)
    shapes |= _conv("input_blocks.0.0", base, inputs)
    skips, into, number = [base], base, 1
    for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        for _ in range(2):
            shapes |= _residual(f"input_blocks.{number}.0", into, width, time)
            if depth:
                shapes |= _transformer(f"input_blocks.{number}.1", width, context, depth, linear)
            into, number = width, number + 1
            skips.append(into)
        if level < len(widths) - 1:
            shapes |= _conv(f"input_blocks.{number}.0.op", into, into)
            skips.append(into)
            number += 1
    shapes |= _residual("middle_block.0", into, into, time)
    shapes |= _transformer("middle_block.1", into, context, middle, linear) if middle else {}
    shapes |= _residual("middle_block.2", into, into, time)
    number = 0
    for level, (width, depth) in reversed(list(enumerate(zip(widths, depths, strict=True)))):
        for block in range(3):
            shapes |= _residual(f"output_blocks.{number}.0", into + skips.pop(), width, time)
            if depth:
                shapes |= _transformer(f"output_blocks.{number}.1", width, context, depth, linear)
            into = width
            if level and block == 2:
                shapes |= _conv(f"output_blocks.{number}.{2 if depth else 1}.conv", into, into)
            number += 1
    return shapes | _norm("out.0", base) | _conv("out.2", 4, base)


def sd1(inputs: int = 4) -> Shapes:
    return ldm_unet(768, inputs=inputs)


def sd2(inputs: int = 4) -> Shapes:
    return ldm_unet(1024, inputs=inputs, linear=True)


def sdxl(inputs: int = 4, depth: int = 10) -> Shapes:
    return ldm_unet(2048, (320, 640, 1280), (0, 2, depth), depth, 2816, inputs, True)


def refiner() -> Shapes:
    return ldm_unet(1280, (384, 768, 1536, 1536), (0, 4, 4, 0), 4, 2560, 4, True)


def unclip() -> Shapes:
    return ldm_unet(1024, label=2048, linear=True)


def ldm_vae(channels: int = 4, quant: bool = True) -> Shapes:
    """`ldm.models.autoencoder.AutoencoderKL`: 128, 256, 512, 512."""
    widths = (128, 256, 512, 512)

    def block(name: str, into: int, out: int) -> Shapes:
        shapes = _norm(f"{name}.norm1", into) | _conv(f"{name}.conv1", out, into)
        shapes |= _norm(f"{name}.norm2", out) | _conv(f"{name}.conv2", out, out)
        return shapes | (_conv(f"{name}.nin_shortcut", out, into, 1) if into != out else {})

    def middle(side: str) -> Shapes:
        shapes = block(f"{side}.mid.block_1", 512, 512) | block(f"{side}.mid.block_2", 512, 512)
        shapes |= _norm(f"{side}.mid.attn_1.norm", 512)
        for part in ("q", "k", "v", "proj_out"):
            shapes |= _conv(f"{side}.mid.attn_1.{part}", 512, 512, 1)
        return shapes

    shapes, into = _conv("encoder.conv_in", 128, 3) | middle("encoder") | middle("decoder"), 128
    for level, width in enumerate(widths):
        for number in range(2):
            shapes |= block(f"encoder.down.{level}.block.{number}", into, width)
            into = width
        shapes |= _conv(f"encoder.down.{level}.downsample.conv", width, width) if level < 3 else {}
    shapes |= _norm("encoder.norm_out", 512) | _conv("encoder.conv_out", 2 * channels, 512)
    shapes |= _conv("decoder.conv_in", 512, channels)
    for level, width in reversed(list(enumerate(widths))):
        for number in range(3):
            shapes |= block(f"decoder.up.{level}.block.{number}", into, width)
            into = width
        shapes |= _conv(f"decoder.up.{level}.upsample.conv", width, width) if level else {}
    shapes |= _norm("decoder.norm_out", 128) | _conv("decoder.conv_out", 3, 128)
    if quant:
        shapes |= _conv("quant_conv", 2 * channels, 2 * channels, 1) | _conv("post_quant_conv", channels, channels, 1)
    return shapes


def clip_text(width: int = 768, layers: int = 12) -> Shapes:
    """transformers' CLIPTextModel, as in checkpoints and in ComfyUI's clip_l.safetensors."""
    shapes: Shapes = {
        "text_model.embeddings.position_embedding.weight": (77, width),
        "text_model.embeddings.token_embedding.weight": (49408, width),
    }
    for layer in range(layers):
        stem = f"text_model.encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            shapes |= _linear(f"{stem}.self_attn.{part}", width, width)
        shapes |= _linear(f"{stem}.mlp.fc1", 4 * width, width) | _linear(f"{stem}.mlp.fc2", width, 4 * width)
        shapes |= _norm(f"{stem}.layer_norm1", width) | _norm(f"{stem}.layer_norm2", width)
    return shapes | _norm("text_model.final_layer_norm", width)


def open_clip(width: int, layers: int) -> Shapes:
    shapes: Shapes = {
        "positional_embedding": (77, width), "text_projection": (width, width), "token_embedding.weight": (49408, width), "logit_scale": (),
    }  # fmt: skip
    for layer in range(layers):
        stem = f"transformer.resblocks.{layer}"
        shapes |= {f"{stem}.attn.in_proj_weight": (3 * width, width), f"{stem}.attn.in_proj_bias": (3 * width,)}
        shapes |= _linear(f"{stem}.attn.out_proj", width, width)
        shapes |= _linear(f"{stem}.mlp.c_fc", 4 * width, width) | _linear(f"{stem}.mlp.c_proj", width, 4 * width)
        shapes |= _norm(f"{stem}.ln_1", width) | _norm(f"{stem}.ln_2", width)
    return shapes | _norm("ln_final", width)


def t5(width: int = 4096, layers: int = 24) -> Shapes:
    shapes: Shapes = {"shared.weight": (32128, width), "encoder.final_layer_norm.weight": (width,)}
    for layer in range(layers):
        stem = f"encoder.block.{layer}.layer"
        for part in "qkvo":
            shapes |= _linear(f"{stem}.0.SelfAttention.{part}", width, width, False)
        for part, out, into in (("wi_0", 10240, width), ("wi_1", 10240, width), ("wo", width, 10240)):
            shapes |= _linear(f"{stem}.1.DenseReluDense.{part}", out, into, False)
    return shapes


def checkpoint(denoiser: Shapes, text: Shapes, vae: Shapes | None = None) -> Shapes:
    return prefixed(P, denoiser) | text | prefixed("first_stage_model.", vae or ldm_vae())


SD1_TEXT = prefixed("cond_stage_model.transformer.", clip_text())
SD2_TEXT = prefixed("cond_stage_model.model.", open_clip(1024, 23))
SDXL_TEXT = prefixed("conditioner.embedders.0.transformer.", clip_text()) | prefixed(
    "conditioner.embedders.1.model.", open_clip(1280, 32)
)


# ---- attachments -----------------------------------------------------------------------------------------------------


def _layers(shapes: Shapes) -> Iterator[tuple[str, int, int]]:
    """(name, out, into) of each linear layer of the attentions."""
    for name, shape in shapes.items():
        if name.endswith(".weight") and len(shape) == 2 and ".transformer_blocks." in name:
            yield name.removesuffix(".weight"), *shape


def kohya(layers: Shapes, prefix: str = "lora_unet_", rank: int = 16) -> Shapes:
    shapes: Shapes = {}
    for name, out, into in _layers(layers):
        stem = prefix + name.replace(".", "_")
        shapes |= {f"{stem}.alpha": (), f"{stem}.lora_down.weight": (rank, into), f"{stem}.lora_up.weight": (out, rank)}
    return shapes


def kohya_text(text: Shapes, prefix: str, rank: int = 16) -> Shapes:
    shapes: Shapes = {}
    for name, shape in text.items():
        if name.endswith(("proj.weight", "fc1.weight", "fc2.weight")) and len(shape) == 2:
            stem = prefix + name.removesuffix(".weight").replace(".", "_")
            shapes |= {
                f"{stem}.alpha": (),
                f"{stem}.lora_down.weight": (rank, shape[1]),
                f"{stem}.lora_up.weight": (shape[0], rank),
            }
    return shapes


def peft(layers: Shapes, prefix: str, rank: int = 16, dora: bool = False) -> Shapes:
    shapes: Shapes = {}
    for name, out, into in _layers(layers):
        shapes |= {f"{prefix}{name}.lora_A.weight": (rank, into), f"{prefix}{name}.lora_B.weight": (out, rank)}
        shapes |= {f"{prefix}{name}.lora_magnitude_vector": (out,)} if dora else {}
    return shapes


def old_diffusers(layers: Shapes, rank: int = 4) -> Shapes:
    """Attention processors of diffusers before 0.19."""
    shapes: Shapes = {}
    for name, out, into in _layers(layers):
        block, _, part = name.rpartition(".to_")
        if block:
            stem = f"unet.{block}.processor.to_{part.removesuffix('.0')}_lora"
            shapes |= {f"{stem}.down.weight": (rank, into), f"{stem}.up.weight": (out, rank)}
    return shapes


def loha(layers: Shapes, rank: int = 8) -> Shapes:
    shapes: Shapes = {}
    for name, out, into in _layers(layers):
        stem = "lora_unet_" + name.replace(".", "_")
        for half in ("hada_w1", "hada_w2"):
            shapes |= {f"{stem}.{half}_a": (out, rank), f"{stem}.{half}_b": (rank, into)}
        shapes |= {f"{stem}.alpha": ()}
    return shapes


def lokr(layers: Shapes, factor: int = 8) -> Shapes:
    shapes: Shapes = {}
    for name, out, into in _layers(layers):
        stem = "lora_unet_" + name.replace(".", "_")
        shapes |= {
            f"{stem}.lokr_w1": (factor, factor),
            f"{stem}.lokr_w2": (out // factor, into // factor),
            f"{stem}.alpha": (),
        }
    return shapes


def ip_adapter(context: int, image: Shapes, lora: bool = False, layers: int = 16) -> Shapes:
    shapes = prefixed("image_proj.", image)
    for layer in range(1, 2 * layers, 2):
        shapes |= {
            f"ip_adapter.{layer}.to_k_ip.weight": (320, context),
            f"ip_adapter.{layer}.to_v_ip.weight": (320, context),
        }
        for part in ("q", "k", "v", "out") if lora else ():
            shapes |= {
                f"ip_adapter.{layer}.to_{part}_lora.down.weight": (128, 320),
                f"ip_adapter.{layer}.to_{part}_lora.up.weight": (320, 128),
            }
    return shapes


def rrdb(names: str = "body.{0}.rdb{1}.conv{2}", blocks: int = 23) -> Shapes:
    shapes = _conv("conv_first", 64, 3) | _conv("conv_last", 3, 64)
    for block in range(blocks):
        for dense in (1, 2, 3):
            for conv in (1, 2, 3, 4, 5):
                shapes |= _conv(names.format(block, dense, conv), 64 if conv == 5 else 32, 64 + 32 * (conv - 1))
    return shapes


def swinir() -> Shapes:
    shapes = _conv("conv_first", 180, 3) | _conv("conv_last", 3, 64)
    for layer in range(6):
        for block in range(6):
            stem = f"layers.{layer}.residual_group.blocks.{block}"
            shapes |= _linear(f"{stem}.attn.qkv", 540, 180) | _linear(f"{stem}.mlp.fc1", 360, 180)
    return shapes


# ---- diffusers' own classes ------------------------------------------------------------------------------------------


@cache
def _made(class_name: str, settings: tuple[tuple[str, Any], ...]) -> Shapes:
    compat.prepare()
    import diffusers
    import torch

    with torch.device("meta"):
        module = getattr(diffusers, class_name)(**dict(settings))
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def made(class_name: str, **settings: Any) -> Shapes:
    """Every tensor of a class of diffusers with these settings."""
    return dict(_made(class_name, tuple(settings.items())))
