"""Headers of published checkpoints, at full size, as files that take no room: the header is real, the data a hole.

What matters to the catalog and the planner is names, shapes and sizes; a sparse file has them all.
"""

import json
import math
import struct
from pathlib import Path

BYTES = {"U8": 1, "I8": 1, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I64": 8}
Shapes = dict[str, tuple[int, ...]]


def write_sparse(path: Path, shapes: Shapes, dtype: str = "F16", metadata: dict[str, str] | None = None) -> Path:
    """A safetensors file with these tensors, whose data is a hole of the right length."""
    table: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end = 0
    for name, shape in shapes.items():
        size = math.prod(shape) * BYTES[dtype]
        table[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    header = json.dumps(table).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + end)
    return path


P = "model.diffusion_model."
_VAE: Shapes = {"first_stage_model.decoder.conv_in.weight": (512, 4, 3, 3)}
_CLIP: Shapes = {"cond_stage_model.transformer.text_model.embeddings.position_embedding.weight": (77, 768)}
_XL_CLIP: Shapes = {"conditioner.embedders.1.model.positional_embedding": (77, 1280)}


def unet(context: int, channels: int = 4) -> Shapes:
    """The tensors of a CompVis U-Net that tell SD 1 and SD 2 apart."""
    attention = P + "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
    return {P + "input_blocks.0.0.weight": (320, channels, 3, 3), attention: (320, context)}


def xl(label: int = 2816, context: int = 2048, channels: int = 4) -> Shapes:
    attention = P + "input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight"
    return {
        P + "input_blocks.0.0.weight": (320, channels, 3, 3),
        P + "label_emb.0.0.weight": (1280, label),
        attention: (640, context),
    }


def flux(inputs: int = 64, guided: bool = True, prefix: str = "") -> Shapes:
    shapes = {
        f"{prefix}double_blocks.0.img_attn.norm.key_norm.scale": (128,),
        f"{prefix}img_in.weight": (3072, inputs),
        f"{prefix}vector_in.in_layer.weight": (3072, 768),
    }
    return shapes | ({f"{prefix}guidance_in.in_layer.weight": (3072, 256)} if guided else {})


def sd3(position: int = 36864, large: bool = False) -> Shapes:
    shapes: Shapes = {
        P + "joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,),
        P + "pos_embed": (1, position, 1536),
    }
    return shapes | ({P + "joint_blocks.37.x_block.mlp.fc1.weight": (9728, 2432)} if large else {})


# name -> (file name, tensors, metadata, what it is: kind, family, variant, prediction)
Case = tuple[str, Shapes, dict[str, str], tuple[str, str | None, str, str]]
CASES: dict[str, Case] = {
    "SD 1.5": ("v1-5.safetensors", unet(768) | _VAE | _CLIP, {}, ("checkpoint", "sd1", "", "epsilon")),
    "SD 1.5 inpaint": ("sd.safetensors", unet(768, 9) | _VAE | _CLIP, {}, ("checkpoint", "sd1", "inpaint", "epsilon")),
    "instruct-pix2pix": ("ip2p.safetensors", unet(768, 8), {}, ("checkpoint", "sd1", "instruct-pix2pix", "epsilon")),
    "SD 2 upscaler": ("x4.safetensors", unet(1024, 7), {}, ("checkpoint", "sd2", "upscale", "v_prediction")),
    "SD 2.1 v": ("v2-1_768.safetensors", unet(1024), {}, ("checkpoint", "sd2", "v-prediction", "v_prediction")),
    "SD 2.1 base": ("v2-1_512-base.safetensors", unet(1024), {}, ("checkpoint", "sd2", "", "epsilon")),
    "SD 2 by metadata": (
        "base.safetensors",
        unet(1024),
        {"modelspec.prediction_type": "v"},
        ("checkpoint", "sd2", "v-prediction", "v_prediction"),
    ),
    "SDXL": ("sdxl.safetensors", xl() | _VAE | _XL_CLIP, {}, ("checkpoint", "sdxl", "", "epsilon")),
    "SDXL v-pred": (
        "noob.safetensors",
        xl() | {"v_pred": (0,), "ztsnr": (0,)},
        {},
        ("checkpoint", "sdxl", "v-prediction", "v_prediction"),
    ),
    "SDXL turbo": ("sd_xl_turbo_1.0.safetensors", xl(), {}, ("checkpoint", "sdxl", "few-step", "epsilon")),
    "SDXL lightning": ("x-Lightning-4.safetensors", xl(), {}, ("checkpoint", "sdxl", "few-step", "epsilon")),
    "SDXL inpaint": ("xl.safetensors", xl(channels=9), {}, ("checkpoint", "sdxl", "inpaint", "epsilon")),
    "SDXL refiner": ("r.safetensors", xl(2560, 1280), {}, ("checkpoint", "sdxl", "refiner", "epsilon")),
    "SD 3 medium": ("sd3.safetensors", sd3(), {}, ("checkpoint", "sd3", "3-medium", "flow_prediction")),
    "SD 3.5 medium": ("m.safetensors", sd3(147456), {}, ("checkpoint", "sd3", "3.5-medium", "flow_prediction")),
    "SD 3.5 large": ("l.safetensors", sd3(large=True), {}, ("checkpoint", "sd3", "3.5-large", "flow_prediction")),
    "FLUX dev": ("flux1-dev.safetensors", flux(), {}, ("checkpoint", "flux", "", "flow_prediction")),
    "FLUX schnell": ("s.safetensors", flux(guided=False), {}, ("checkpoint", "flux", "few-step", "flow_prediction")),
    "FLUX fill": ("f.safetensors", flux(384, prefix=P), {}, ("checkpoint", "flux", "fill", "flow_prediction")),
    "Chroma": (
        "chroma.safetensors",
        {
            "double_blocks.0.img_attn.norm.key_norm.scale": (128,),
            "img_in.weight": (3072, 64),
            "distilled_guidance_layer.in_proj.bias": (5120,),
        },
        {},
        ("checkpoint", "chroma", "", "flow_prediction"),
    ),
    "FLUX.2": (
        "flux2.safetensors",
        {"single_stream_modulation.lin.weight": (18432, 6144)},
        {},
        ("checkpoint", "flux2", "", "flow_prediction"),
    ),
    "Z-Image": (
        "z.safetensors",
        {"layers.0.adaLN_modulation.0.weight": (15360, 256), "cap_embedder.0.weight": (2560,)},
        {},
        ("checkpoint", "z_image", "", "flow_prediction"),
    ),
    "Qwen-Image": (
        "q.safetensors",
        {"transformer_blocks.0.img_mod.1.weight": (18432, 3072), "txt_norm.weight": (3584,)},
        {},
        ("checkpoint", "qwen_image", "", "flow_prediction"),
    ),
    "PixArt": ("p.safetensors", {"y_embedder.y_embedding": (120, 4096)}, {}, ("checkpoint", "pixart", "", "epsilon")),
    "kohya LoRA": (
        "l.safetensors",
        {"lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight": (8, 768)},
        {},
        ("lora", "sd1", "kohya", "epsilon"),
    ),
    "kohya LoRA for SDXL": (
        "l.safetensors",
        {
            "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": (8, 2048),
            "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (8, 1280),
        },
        {},
        ("lora", "sdxl", "kohya", "epsilon"),
    ),
    "diffusers LoRA": (
        "l.safetensors",
        {"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight": (4, 1024)},
        {},
        ("lora", "sd2", "diffusers", "epsilon"),
    ),
    "peft LoRA with DoRA": (
        "l.safetensors",
        {
            "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_A.weight": (4, 768),
            "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.lora_magnitude_vector": (320,),
        },
        {},
        ("lora", "sd1", "peft dora", "epsilon"),
    ),
    "FLUX LoRA": (
        "l.safetensors",
        {"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (16, 3072)},
        {},
        ("lora", "flux", "diffusers", "epsilon"),
    ),
    "LoHa": ("l.safetensors", {"lora_unet_mid.hada_w1_a": (8, 8), "lora_unet_mid.hada_w1_b": (8, 8)}, {}, ("lora", None, "loha", "epsilon")),
    "LoKr": ("l.safetensors", {"lora_unet_mid.lokr_w1": (8, 8)}, {}, ("lora", None, "lokr", "epsilon")),
    "full difference": ("l.safetensors", {"lora_unet_mid.diff": (8, 8)}, {}, ("lora", None, "full", "epsilon")),
    "textual inversion": ("cat.safetensors", {"emb_params": (4, 768)}, {}, ("embedding", "sd1", "", "epsilon")),
    "SDXL textual inversion": ("cat.safetensors", {"clip_l": (2, 768), "clip_g": (2, 1280)}, {}, ("embedding", "sdxl", "", "epsilon")),
    "diffusers textual inversion": ("cat.safetensors", {"<cat>": (1024,)}, {}, ("embedding", "sd2", "", "epsilon")),
    "VAE": (
        "vae.safetensors",
        {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 4, 3, 3), "quant_conv.weight": (8, 8, 1, 1)},
        {},
        ("vae", "sd1", "", "epsilon"),
    ),
    "16-channel VAE": ("ae.safetensors", {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 16, 3, 3)}, {}, ("vae", "flux", "", "epsilon")),
    "ControlNet": (
        "c.safetensors",
        {"control_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (320, 768)},
        {},
        ("controlnet", "sd1", "", "epsilon"),
    ),
    "diffusers ControlNet": (
        "c.safetensors",
        {
            "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
            "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
        },
        {},
        ("controlnet", "sdxl", "", "epsilon"),
    ),
    "T2I-Adapter": (
        "t.safetensors",
        {"body.0.block1.weight": (320, 320, 3, 3), "body.0.block2.weight": (320, 320, 1, 1), "conv_in.weight": (320, 192, 3, 3)},
        {},
        ("t2i_adapter", "sd1", "", "epsilon"),
    ),
    "IP-Adapter": (
        "i.safetensors",
        {"image_proj.proj.weight": (3072, 1024), "ip_adapter.1.to_k_ip.weight": (320, 768)},
        {},
        ("ip_adapter", "sd1", "", "epsilon"),
    ),
    "ESRGAN": ("u.safetensors", {"body.0.rdb1.conv1.weight": (32, 64, 3, 3), "conv_first.weight": (64, 3, 3, 3)}, {}, ("upscaler", None, "", "epsilon")),
    "old ESRGAN": ("u.safetensors", {"model.0.weight": (64, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)}, {}, ("upscaler", None, "", "epsilon")),
    "compact upscaler": ("u.safetensors", {"body.0.weight": (64, 3, 3, 3), "body.1.weight": (64,), "body.2.weight": (64, 64, 3, 3)}, {}, ("upscaler", None, "", "epsilon")),
    "a U-Net alone": (
        "diffusion_pytorch_model.safetensors",
        {
            "conv_in.weight": (320, 4, 3, 3),
            "add_embedding.linear_1.weight": (1280, 2816),
            "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 2048),
        },
        {},
        ("unknown", "sdxl", "", "epsilon"),
    ),
    "nothing known": ("x.safetensors", {"a": (2, 2), "b": (2, 2), "c": (3,), "d": (1,), "e": (5,)}, {}, ("unknown", None, "", "epsilon")),
}  # fmt: skip
