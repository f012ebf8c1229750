"""Headers of published checkpoints, at full size, as files that take no room: the header is real, the data a hole.

What matters to the catalog and the planner is names, shapes and sizes; a sparse file has them all.
"""

import json
import math
import struct
from functools import partial
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
    ends: Shapes = {P + "input_blocks.0.0.weight": (320, channels, 3, 3), P + "label_emb.0.0.weight": (1280, label)}
    return ends | {attention: (640, context)}


def flux(inputs: int = 64, guided: bool = True, prefix: str = "") -> Shapes:
    norm = f"{prefix}double_blocks.0.img_attn.norm.key_norm.scale"
    shapes: Shapes = {norm: (128,), f"{prefix}img_in.weight": (3072, inputs)}
    shapes |= {f"{prefix}vector_in.in_layer.weight": (3072, 768)}
    return shapes | ({f"{prefix}guidance_in.in_layer.weight": (3072, 256)} if guided else {})


def sd3(position: int = 36864, large: bool = False) -> Shapes:
    shapes: Shapes = {
        P + "joint_blocks.0.context_block.adaLN_modulation.1.bias": (9216,),
        P + "pos_embed": (1, position, 1536),
    }
    return shapes | ({P + "joint_blocks.37.x_block.mlp.fc1.weight": (9728, 2432)} if large else {})


Case = tuple[str, Shapes, dict[str, str], tuple[str, str | None, str, str]]


def _case(
    kind: str,
    file: str,
    shapes: Shapes,
    family: str | None,
    variant: str = "",
    prediction: str = "epsilon",
    **spec: str,
) -> Case:
    metadata = {f"modelspec.{name}": value for name, value in spec.items()}
    return f"{file}.safetensors", shapes, metadata, (kind, family, variant, prediction)


_model = partial(_case, "checkpoint")
_flow = partial(_model, prediction="flow_prediction")
_BLOCK = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k"
_BLOCK_1 = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight"
_INPUT = "input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
_UPSCALED: Shapes = {"body.0.weight": (64, 3, 3, 3), "body.1.weight": (64,), "body.2.weight": (64, 64, 3, 3)}
_OLD_ESRGAN: Shapes = {"model.0.weight": (64, 3, 3, 3), "model.1.sub.0.RDB1.conv1.0.weight": (32, 64, 3, 3)}

# name -> (file name, tensors, metadata, what it is: kind, family, variant, prediction)
# fmt: off
CASES: dict[str, Case] = {
    "SD 1.5": _model("v1-5", unet(768) | _VAE | _CLIP, "sd1"),
    "SD 1.5 inpaint": _model("sd", unet(768, 9) | _VAE | _CLIP, "sd1", "inpaint"),
    "instruct-pix2pix": _model("ip2p", unet(768, 8), "sd1", "instruct-pix2pix"),
    "SD 2 upscaler": _model("x4", unet(1024, 7), "sd2", "upscale", prediction="v_prediction"),
    "SD 2.1 v": _model("v2-1_768", unet(1024), "sd2", "v-prediction", prediction="v_prediction"),
    "SD 2.1 base": _model("v2-1_512-base", unet(1024), "sd2"),
    "SD 2 by metadata": _model(
        "base", unet(1024), "sd2", "v-prediction", prediction="v_prediction", prediction_type="v"),
    "SDXL": _model("sdxl", xl() | _VAE | _XL_CLIP, "sdxl"),
    "SDXL v-pred": _model(
        "noob", xl() | {"v_pred": (0,), "ztsnr": (0,)}, "sdxl", "v-prediction", prediction="v_prediction"),
    "SDXL turbo": _model("sd_xl_turbo_1.0", xl(), "sdxl", "few-step"),
    "SDXL lightning": _model("x-Lightning-4", xl(), "sdxl", "few-step"),
    "SDXL inpaint": _model("xl", xl(channels=9), "sdxl", "inpaint"),
    "SDXL refiner": _model("r", xl(2560, 1280), "sdxl", "refiner"),
    "SD 3 medium": _flow("sd3", sd3(), "sd3", "3-medium"),
    "SD 3.5 medium": _flow("m", sd3(147456), "sd3", "3.5-medium"),
    "SD 3.5 large": _flow("l", sd3(large=True), "sd3", "3.5-large"),
    "FLUX dev": _flow("flux1-dev", flux(), "flux"),
    "FLUX schnell": _flow("s", flux(guided=False), "flux", "few-step"),
    "FLUX fill": _flow("f", flux(384, prefix=P), "flux", "fill"),
    "Chroma": _flow("chroma", {
        "double_blocks.0.img_attn.norm.key_norm.scale": (128,), "img_in.weight": (3072, 64),
        "distilled_guidance_layer.in_proj.bias": (5120,),
    }, "chroma"),
    "FLUX.2": _flow("flux2", {"single_stream_modulation.lin.weight": (18432, 6144)}, "flux2"),
    "Z-Image": _flow(
        "z", {"layers.0.adaLN_modulation.0.weight": (15360, 256), "cap_embedder.0.weight": (2560,)}, "z_image"),
    "Qwen-Image": _flow(
        "q", {"transformer_blocks.0.img_mod.1.weight": (18432, 3072), "txt_norm.weight": (3584,)}, "qwen_image"),
    "PixArt": _model("p", {"y_embedder.y_embedding": (120, 4096)}, "pixart"),
    "kohya LoRA": _case(
        "lora", "l", {f"lora_unet_{_BLOCK.replace('.', '_')}.lora_down.weight": (8, 768)}, "sd1", "kohya"),
    "kohya LoRA for SDXL": _case("lora", "l", {
        "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k.lora_down.weight": (8, 2048),
        "lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": (8, 1280),
    }, "sdxl", "kohya"),
    "diffusers LoRA": _case("lora", "l", {f"unet.{_BLOCK}.lora_A.weight": (4, 1024)}, "sd2", "diffusers"),
    "peft LoRA with DoRA": _case("lora", "l", {
        f"base_model.model.{_BLOCK}.lora_A.weight": (4, 768),
        f"base_model.model.{_BLOCK}.lora_magnitude_vector": (320,),
    }, "sd1", "peft dora"),
    "FLUX LoRA": _case(
        "lora", "l", {"transformer.single_transformer_blocks.0.attn.to_k.lora_A.weight": (16, 3072)}, "flux", "diffusers"),
    "LoHa": _case(
        "lora", "l", {"lora_unet_mid.hada_w1_a": (8, 8), "lora_unet_mid.hada_w1_b": (8, 8)}, None, "loha"),
    "LoKr": _case("lora", "l", {"lora_unet_mid.lokr_w1": (8, 8)}, None, "lokr"),
    "full difference": _case("lora", "l", {"lora_unet_mid.diff": (8, 8)}, None, "full"),
    "textual inversion": _case("embedding", "cat", {"emb_params": (4, 768)}, "sd1"),
    "SDXL textual inversion": _case("embedding", "cat", {"clip_l": (2, 768), "clip_g": (2, 1280)}, "sdxl"),
    "diffusers textual inversion": _case("embedding", "cat", {"<cat>": (1024,)}, "sd2"),
    "VAE": _case("vae", "vae", {
        "encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 4, 3, 3),
        "quant_conv.weight": (8, 8, 1, 1),
    }, "sd1"),
    "16-channel VAE": _case(
        "vae", "ae", {"encoder.conv_in.weight": (128, 3, 3, 3), "decoder.conv_in.weight": (512, 16, 3, 3)}, "flux"),
    "ControlNet": _case("controlnet", "c", {f"control_model.{_INPUT}": (320, 768)}, "sd1"),
    "diffusers ControlNet": _case(
        "controlnet", "c", {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3), _BLOCK_1: (640, 2048)}, "sdxl"),
    "T2I-Adapter": _case("t2i_adapter", "t", {
        "body.0.block1.weight": (320, 320, 3, 3), "body.0.block2.weight": (320, 320, 1, 1),
        "conv_in.weight": (320, 192, 3, 3),
    }, "sd1"),
    "IP-Adapter": _case(
        "ip_adapter", "i", {"image_proj.proj.weight": (3072, 1024), "ip_adapter.1.to_k_ip.weight": (320, 768)}, "sd1"),
    "ESRGAN": _case(
        "upscaler", "u", {"body.0.rdb1.conv1.weight": (32, 64, 3, 3), "conv_first.weight": (64, 3, 3, 3)}, None),
    "old ESRGAN": _case("upscaler", "u", _OLD_ESRGAN, None),
    "compact upscaler": _case("upscaler", "u", _UPSCALED, None),
    "a U-Net alone": _case("unknown", "diffusion_pytorch_model", {
        "conv_in.weight": (320, 4, 3, 3), "add_embedding.linear_1.weight": (1280, 2816), _BLOCK_1: (640, 2048),
    }, "sdxl"),
    "nothing known": _case("unknown", "x", {"a": (2, 2), "b": (2, 2), "c": (3,), "d": (1,), "e": (5,)}, None),
}
# fmt: on
