"""The tensors of models under their publishers' names: CompVis, OpenCLIP, Black Forest Labs, Stability, llama.cpp.

Written by hand against the published files, and not from the studio's own tables.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

Tensors = dict[str, Any]
P = "model.diffusion_model."


def save(file: Path, tensors: Tensors, dtype: Any = None, metadata: dict[str, str] | None = None) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    cast = {k: (t.to(dtype) if dtype and t.is_floating_point() else t).contiguous().clone() for k, t in tensors.items()}
    save_file(cast, file, metadata)
    return file


# ---- CompVis ---------------------------------------------------------------------------------------------------------

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0", "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.0": "middle_block.0",
    "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip


def unet_original(unet: Any) -> Tensors:
    """A UNet2DConditionModel's tensors; the inverse of diffusers' own conversion."""
    levels, layers = len(unet.config.block_out_channels), unet.config.layers_per_block
    places = dict(UNET_ENDS)
    for i in range(levels):
        first = (layers + 1) * i
        for number, part in enumerate(("resnets", "attentions")):
            for j in range(layers + 1):
                places[f"down_blocks.{i}.{part}.{j}"] = f"input_blocks.{first + j + 1}.{number}"
                places[f"up_blocks.{i}.{part}.{j}"] = f"output_blocks.{first + j}.{number}"
        places[f"down_blocks.{i}.downsamplers.0.conv"] = f"input_blocks.{first + layers + 1}.0.op"
        after = 2 if "CrossAttn" in unet.config.up_block_types[i] else 1
        places[f"up_blocks.{i}.upsamplers.0.conv"] = f"output_blocks.{first + layers}.{after}.conv"
    return {
        P + _placed(key, places, RESNET if ".resnets." in key else {}): tensor
        for key, tensor in unet.state_dict().items()
    }


def vae_original(vae: Any) -> Tensors:
    """An AutoencoderKL's tensors; its attention weights as 1x1 convolutions."""
    levels, layers = len(vae.config.block_out_channels), vae.config.layers_per_block
    places = {}
    for i in range(levels):
        up = levels - 1 - i
        places |= {f"encoder.down_blocks.{i}.resnets.{j}": f"encoder.down.{i}.block.{j}" for j in range(layers)}
        places |= {f"decoder.up_blocks.{i}.resnets.{j}": f"decoder.up.{up}.block.{j}" for j in range(layers + 1)}
        places[f"encoder.down_blocks.{i}.downsamplers.0"] = f"encoder.down.{i}.downsample"
        places[f"decoder.up_blocks.{i}.upsamplers.0"] = f"decoder.up.{up}.upsample"
    for side in ("encoder", "decoder"):
        places |= {f"{side}.mid_block.resnets.{i}": f"{side}.mid.block_{i + 1}" for i in range(2)}
        places |= {f"{side}.mid_block.attentions.0": f"{side}.mid.attn_1", f"{side}.conv_norm_out": f"{side}.norm_out"}
    out = {}
    for key, tensor in vae.state_dict().items():
        inside = VAE_ATTENTION if ".attentions." in key else {"conv_shortcut": "nin_shortcut"}
        convolution = ".attentions." in key and tensor.ndim == 2
        out["first_stage_model." + _placed(key, places, inside)] = tensor[:, :, None, None] if convolution else tensor
    return out


def _placed(key: str, places: dict[str, str], inside: dict[str, str]) -> str:
    """Where a tensor of a module in `places` goes, its name in there changed by `inside`."""
    module = next((module for module in places if key.startswith(module + ".")), "")
    rest = key.removeprefix(module)
    for ours, theirs in inside.items():
        rest = rest.replace(f".{ours}.", f".{theirs}.")
    return places.get(module, "") + rest


# ---- text encoders ---------------------------------------------------------------------------------------------------


def text_original(module: Any, prefix: str = "") -> Tensors:
    """transformers' published names, as ComfyUI keeps them; a projection that does nothing is left out."""
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    clip = type(module).__name__.startswith("CLIP")
    out = {}
    for key, tensor in module.state_dict().items():
        plain = key == "text_projection.weight" and bool((tensor == tensor.new_ones(len(tensor)).diag()).all())
        if key not in tied and not plain:
            top = "text_model." if clip and not key.startswith("text_model.") else ""
            out[prefix + top + key] = tensor
    return out


OPEN_CLIP_LAYER = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}  # fmt: skip


def open_clip_original(module: Any, prefix: str = "") -> Tensors:
    """A CLIPTextModelWithProjection: queries, keys and values in one, the projection transposed."""
    ours = {key.removeprefix("text_model."): tensor for key, tensor in module.state_dict().items()}
    out = {
        "token_embedding.weight": ours["embeddings.token_embedding.weight"],
        "positional_embedding": ours["embeddings.position_embedding.weight"],
        "text_projection": ours["text_projection.weight"].T,
        "ln_final.weight": ours["final_layer_norm.weight"],
        "ln_final.bias": ours["final_layer_norm.bias"],
    }
    for i in range(module.config.num_hidden_layers):
        theirs, mine = f"transformer.resblocks.{i}.", f"encoder.layers.{i}."
        for ending in ("weight", "bias"):
            out |= {f"{theirs}{a}.{ending}": ours[f"{mine}{b}.{ending}"] for a, b in OPEN_CLIP_LAYER.items()}
            three = [ours[f"{mine}self_attn.{letter}_proj.{ending}"] for letter in "qkv"]
            out[f"{theirs}attn.in_proj_{ending}"] = torch.cat(three)
    return {prefix + key: tensor for key, tensor in out.items()}


LLAMA_LAYER = {
    "attn_q": "0.SelfAttention.q", "attn_k": "0.SelfAttention.k", "attn_v": "0.SelfAttention.v",
    "attn_o": "0.SelfAttention.o", "attn_rel_b": "0.SelfAttention.relative_attention_bias", "attn_norm": "0.layer_norm",
    "ffn_gate": "1.DenseReluDense.wi_0", "ffn_up": "1.DenseReluDense.wi_1", "ffn_down": "1.DenseReluDense.wo",
    "ffn_norm": "1.layer_norm",
}  # fmt: skip


def t5_llama_names(module: Any) -> Tensors:
    """A T5EncoderModel as llama.cpp's converter names it."""
    places = {"token_embd": "shared", "enc.output_norm": "encoder.final_layer_norm"}
    for i in range(module.config.num_layers):
        places |= {f"enc.blk.{i}.{theirs}": f"encoder.block.{i}.layer.{mine}" for theirs, mine in LLAMA_LAYER.items()}
    return _joined(module, places)


# ---- transformers of flow matching -----------------------------------------------------------------------------------

LAST = {"final_layer.linear": "proj_out", "final_layer.adaLN_modulation.1": "norm_out.linear"}
FLUX_ENDS = LAST | {"img_in": "x_embedder", "txt_in": "context_embedder"}
FLUX_EMBEDDERS = {"time_in": "timestep", "vector_in": "text", "guidance_in": "guidance"}
FLUX_DOUBLE = {
    "img_mod.lin": "norm1.linear", "txt_mod.lin": "norm1_context.linear",
    "img_attn.qkv": "attn.to_q attn.to_k attn.to_v", "txt_attn.qkv": "attn.add_q_proj attn.add_k_proj attn.add_v_proj",
    "img_attn.norm.query_norm": "attn.norm_q", "img_attn.norm.key_norm": "attn.norm_k",
    "txt_attn.norm.query_norm": "attn.norm_added_q", "txt_attn.norm.key_norm": "attn.norm_added_k",
    "img_attn.proj": "attn.to_out.0", "img_mlp.0": "ff.net.0.proj", "img_mlp.2": "ff.net.2",
    "txt_attn.proj": "attn.to_add_out", "txt_mlp.0": "ff_context.net.0.proj", "txt_mlp.2": "ff_context.net.2",
}  # fmt: skip
FLUX_SINGLE = {
    "modulation.lin": "norm.linear", "linear1": "attn.to_q attn.to_k attn.to_v proj_mlp", "linear2": "proj_out",
    "norm.query_norm": "attn.norm_q", "norm.key_norm": "attn.norm_k",
}  # fmt: skip


def flux_original(module: Any) -> Tensors:
    """A FluxTransformer2DModel as black-forest-labs/flux names it."""
    places = FLUX_ENDS | _two_layers(FLUX_EMBEDDERS, "in_layer", "out_layer")
    for i in range(module.config.num_layers):
        places |= _block(f"double_blocks.{i}.", f"transformer_blocks.{i}.", FLUX_DOUBLE)
    for i in range(module.config.num_single_layers):
        places |= _block(f"single_blocks.{i}.", f"single_transformer_blocks.{i}.", FLUX_SINGLE)
    out = _joined(module, places, lambda name: "scale" if name.endswith(("query_norm", "key_norm")) else "weight")
    _exchange_halves(out, "final_layer.adaLN_modulation.1")
    return out


SD3_ENDS = LAST | {"x_embedder.proj": "pos_embed.proj", "context_embedder": "context_embedder"}
SD3_EMBEDDERS = {"t_embedder": "timestep", "y_embedder": "text"}
SD3_IMAGE = {
    "attn.qkv": "attn.to_q attn.to_k attn.to_v", "attn.proj": "attn.to_out.0",
    "attn.ln_q": "attn.norm_q", "attn.ln_k": "attn.norm_k",
    "attn2.qkv": "attn2.to_q attn2.to_k attn2.to_v", "attn2.proj": "attn2.to_out.0",
    "attn2.ln_q": "attn2.norm_q", "attn2.ln_k": "attn2.norm_k",
    "adaLN_modulation.1": "norm1.linear", "mlp.fc1": "ff.net.0.proj", "mlp.fc2": "ff.net.2",
}  # fmt: skip
SD3_TEXT = {
    "attn.qkv": "attn.add_q_proj attn.add_k_proj attn.add_v_proj", "attn.proj": "attn.to_add_out",
    "attn.ln_q": "attn.norm_added_q", "attn.ln_k": "attn.norm_added_k",
    "adaLN_modulation.1": "norm1_context.linear", "mlp.fc1": "ff_context.net.0.proj", "mlp.fc2": "ff_context.net.2",
}  # fmt: skip


def sd3_original(module: Any) -> Tensors:
    """An SD3Transformer2DModel as Stability's sd3.5 names it."""
    places = SD3_ENDS | _two_layers(SD3_EMBEDDERS, "mlp.0", "mlp.2")
    for i in range(module.config.num_layers):
        places |= _block(f"joint_blocks.{i}.x_block.", f"transformer_blocks.{i}.", SD3_IMAGE)
        places |= _block(f"joint_blocks.{i}.context_block.", f"transformer_blocks.{i}.", SD3_TEXT)
    out = {"pos_embed": module.state_dict()["pos_embed.pos_embed"]} | _joined(module, places)
    _exchange_halves(out, "final_layer.adaLN_modulation.1")
    _exchange_halves(out, f"joint_blocks.{module.config.num_layers - 1}.context_block.adaLN_modulation.1")
    return out


def _two_layers(embedders: dict[str, str], first: str, second: str) -> dict[str, str]:
    return {
        f"{theirs}.{layer}": f"time_text_embed.{ours}_embedder.linear_{number}"
        for theirs, ours in embedders.items()
        for number, layer in ((1, first), (2, second))
    }


def _block(theirs: str, ours: str, names: dict[str, str]) -> dict[str, str]:
    return {theirs + name: " ".join(ours + mine for mine in mines.split()) for name, mines in names.items()}


def _joined(module: Any, places: dict[str, str], weight: Callable[[str], str] = lambda name: "weight") -> Tensors:
    """Each of their layers from those of ours that it holds, one after another; what the module lacks is left out."""
    ours, out = module.state_dict(), {}
    for theirs, mine in places.items():
        names = mine.split()
        for ending in ("weight", "bias"):
            if f"{names[0]}.{ending}" in ours:
                leaf = weight(theirs) if ending == "weight" else ending
                out[f"{theirs}.{leaf}"] = torch.cat([ours[f"{name}.{ending}"] for name in names])
    return out


def _exchange_halves(tensors: Tensors, stem: str) -> None:
    """Their last layers shift, then scale; diffusers scales, then shifts."""
    for ending in ("weight", "bias"):
        tensors[f"{stem}.{ending}"] = torch.cat(tensors[f"{stem}.{ending}"].chunk(2)[::-1])
