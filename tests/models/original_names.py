"""Models under the names that their publishers gave the tensors: written by hand, against the published files, not from our tables."""

from pathlib import Path
from typing import Any

from studio import compat

P = "model.diffusion_model."


def flux_original(module: Any) -> dict[str, Any]:
    """A FluxTransformer2DModel as black-forest-labs/flux names it."""
    import torch

    ours = module.state_dict()
    out: dict[str, Any] = {}

    def put(theirs: str, *names: str, leaf: str = "") -> None:
        for ending in ("weight", "bias"):
            if f"{names[0]}.{ending}" in ours:
                out[f"{theirs}.{leaf or ending}"] = torch.cat([ours[f"{name}.{ending}"] for name in names])

    put("img_in", "x_embedder")
    put("txt_in", "context_embedder")
    for theirs, name in (("time_in", "timestep"), ("vector_in", "text"), ("guidance_in", "guidance")):
        put(f"{theirs}.in_layer", f"time_text_embed.{name}_embedder.linear_1")
        put(f"{theirs}.out_layer", f"time_text_embed.{name}_embedder.linear_2")
    for i in range(module.config.num_layers):
        a, b = f"double_blocks.{i}.", f"transformer_blocks.{i}."
        put(a + "img_mod.lin", b + "norm1.linear")
        put(a + "txt_mod.lin", b + "norm1_context.linear")
        put(a + "img_attn.qkv", b + "attn.to_q", b + "attn.to_k", b + "attn.to_v")
        put(a + "txt_attn.qkv", b + "attn.add_q_proj", b + "attn.add_k_proj", b + "attn.add_v_proj")
        put(a + "img_attn.norm.query_norm", b + "attn.norm_q", leaf="scale")
        put(a + "img_attn.norm.key_norm", b + "attn.norm_k", leaf="scale")
        put(a + "txt_attn.norm.query_norm", b + "attn.norm_added_q", leaf="scale")
        put(a + "txt_attn.norm.key_norm", b + "attn.norm_added_k", leaf="scale")
        put(a + "img_attn.proj", b + "attn.to_out.0")
        put(a + "txt_attn.proj", b + "attn.to_add_out")
        put(a + "img_mlp.0", b + "ff.net.0.proj")
        put(a + "img_mlp.2", b + "ff.net.2")
        put(a + "txt_mlp.0", b + "ff_context.net.0.proj")
        put(a + "txt_mlp.2", b + "ff_context.net.2")
    for i in range(module.config.num_single_layers):
        a, b = f"single_blocks.{i}.", f"single_transformer_blocks.{i}."
        put(a + "modulation.lin", b + "norm.linear")
        put(a + "linear1", b + "attn.to_q", b + "attn.to_k", b + "attn.to_v", b + "proj_mlp")
        put(a + "linear2", b + "proj_out")
        put(a + "norm.query_norm", b + "attn.norm_q", leaf="scale")
        put(a + "norm.key_norm", b + "attn.norm_k", leaf="scale")
    put("final_layer.linear", "proj_out")
    put("final_layer.adaLN_modulation.1", "norm_out.linear")
    _exchange_halves(out, "final_layer.adaLN_modulation.1")
    return out


def sd3_original(module: Any) -> dict[str, Any]:
    """An SD3Transformer2DModel as Stability's sd3.5 names it."""
    import torch

    ours = module.state_dict()
    out: dict[str, Any] = {"pos_embed": ours["pos_embed.pos_embed"]}

    def put(theirs: str, *names: str) -> None:
        for ending in ("weight", "bias"):
            if f"{names[0]}.{ending}" in ours:
                out[f"{theirs}.{ending}"] = torch.cat([ours[f"{name}.{ending}"] for name in names])

    put("x_embedder.proj", "pos_embed.proj")
    put("context_embedder", "context_embedder")
    for theirs, name in (("t_embedder", "timestep"), ("y_embedder", "text")):
        put(f"{theirs}.mlp.0", f"time_text_embed.{name}_embedder.linear_1")
        put(f"{theirs}.mlp.2", f"time_text_embed.{name}_embedder.linear_2")
    last = module.config.num_layers - 1
    for i in range(last + 1):
        x, c, b = f"joint_blocks.{i}.x_block.", f"joint_blocks.{i}.context_block.", f"transformer_blocks.{i}."
        put(x + "attn.qkv", b + "attn.to_q", b + "attn.to_k", b + "attn.to_v")
        put(c + "attn.qkv", b + "attn.add_q_proj", b + "attn.add_k_proj", b + "attn.add_v_proj")
        put(x + "attn.proj", b + "attn.to_out.0")
        put(c + "attn.proj", b + "attn.to_add_out")
        put(x + "attn.ln_q", b + "attn.norm_q")
        put(x + "attn.ln_k", b + "attn.norm_k")
        put(c + "attn.ln_q", b + "attn.norm_added_q")
        put(c + "attn.ln_k", b + "attn.norm_added_k")
        put(x + "attn2.qkv", b + "attn2.to_q", b + "attn2.to_k", b + "attn2.to_v")
        put(x + "attn2.proj", b + "attn2.to_out.0")
        put(x + "attn2.ln_q", b + "attn2.norm_q")
        put(x + "attn2.ln_k", b + "attn2.norm_k")
        put(x + "adaLN_modulation.1", b + "norm1.linear")
        put(c + "adaLN_modulation.1", b + "norm1_context.linear")
        put(x + "mlp.fc1", b + "ff.net.0.proj")
        put(x + "mlp.fc2", b + "ff.net.2")
        put(c + "mlp.fc1", b + "ff_context.net.0.proj")
        put(c + "mlp.fc2", b + "ff_context.net.2")
    put("final_layer.linear", "proj_out")
    put("final_layer.adaLN_modulation.1", "norm_out.linear")
    _exchange_halves(out, "final_layer.adaLN_modulation.1")
    _exchange_halves(out, f"joint_blocks.{last}.context_block.adaLN_modulation.1")
    return out


def _exchange_halves(tensors: dict[str, Any], stem: str) -> None:
    """Their last layers shift, then scale; diffusers scales, then shifts."""
    import torch

    for ending in ("weight", "bias"):
        tensors[f"{stem}.{ending}"] = torch.cat(tensors[f"{stem}.{ending}"].chunk(2)[::-1])


def text_original(module: Any, prefix: str = "") -> dict[str, Any]:
    """A text encoder under transformers' published names, as ComfyUI keeps it; a projection that does nothing is left out."""
    tied = set(getattr(module, "_tied_weights_keys", None) or ())
    clip = type(module).__name__.startswith("CLIP")
    out = {}
    for key, tensor in module.state_dict().items():
        plain = key == "text_projection.weight" and bool((tensor == tensor.new_ones(len(tensor)).diag()).all())
        if key not in tied and not plain:
            top = "text_model." if clip and not key.startswith("text_model.") else ""
            out[prefix + top + key] = tensor
    return out


def t5_llama_names(module: Any) -> dict[str, Any]:
    """A T5EncoderModel as llama.cpp's converter names it."""
    ours = module.state_dict()
    out = {
        "token_embd.weight": ours["shared.weight"],
        "enc.output_norm.weight": ours["encoder.final_layer_norm.weight"],
    }
    names = {
        "0.SelfAttention.q": "attn_q", "0.SelfAttention.k": "attn_k", "0.SelfAttention.v": "attn_v",
        "0.SelfAttention.o": "attn_o", "0.SelfAttention.relative_attention_bias": "attn_rel_b",
        "0.layer_norm": "attn_norm", "1.DenseReluDense.wi_0": "ffn_gate", "1.DenseReluDense.wi_1": "ffn_up",
        "1.DenseReluDense.wo": "ffn_down", "1.layer_norm": "ffn_norm",
    }  # fmt: skip
    for i in range(module.config.num_layers):
        for mine, theirs in names.items():
            if (key := f"encoder.block.{i}.layer.{mine}.weight") in ours:
                out[f"enc.blk.{i}.{theirs}.weight"] = ours[key]
    return out


def save(file: Path, tensors: dict[str, Any], dtype: Any = None, metadata: dict[str, str] | None = None) -> Path:
    compat.prepare()
    from safetensors.torch import save_file

    file.parent.mkdir(parents=True, exist_ok=True)
    cast = {k: (t.to(dtype) if dtype and t.is_floating_point() else t).contiguous().clone() for k, t in tensors.items()}
    save_file(cast, file, metadata)
    return file
