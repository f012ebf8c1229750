"""Rules that know denoisers, alone or with their text encoders and autoencoder in one file. Pure.

Tensor names are those that the models' publishers write. The file's name is asked only where the headers of different
models are identical.
"""

import re
from typing import NamedTuple

from studio.manager.disk.attachments import CONTEXT_FAMILY
from studio.manager.disk.header_view import Sniffed, View

PREFIX = "model.diffusion_model."
STEMS = (PREFIX, "diffusion_model.", "net.", "")  # before a denoiser's names; none where the file is the bare denoiser
# A method's name as a word of its own: "HyperSD" and "sdxl-turbo" are of few steps, "hyperrealism" is not.
FEW_STEP = re.compile(
    r"turbo|lightning|schnell|hyper[-_ ]?(sd|flux)|(?<![a-z])(hyper|lcm|dmd2?|tcd|distill?ed)(?![a-z])|LCM|DMD2", re.IGNORECASE
)  # fmt: skip


class Denoiser(NamedTuple):
    """How a family's transformer is known: `has` are tensors that it has, `lacks` those that another with these has."""

    family: str
    title: str
    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()


FLUX_NORM = "double_blocks.0.img_attn.norm.key_norm."
FLUX = ("img_in.weight", "vector_in.in_layer.weight")
GUIDANCE = "distilled_guidance_layer.in_proj.bias"
# No two rows of different families fit one file.
TRANSFORMERS = (
    Denoiser("flux", "FLUX.1", (FLUX_NORM + "scale", *FLUX), (GUIDANCE,)),
    Denoiser("flux", "FLUX.1", (FLUX_NORM + "weight", *FLUX), (GUIDANCE,)),  # as other libraries write it
    Denoiser("sd3", "Stable Diffusion 3", ("joint_blocks.0.context_block.adaLN_modulation.1.bias",)),
    Denoiser("pixart", "PixArt", ("y_embedder.y_embedding",), ("attention_y_norm.weight",)),
    Denoiser("flux2", "FLUX.2", ("single_stream_modulation.lin.weight",)),
    Denoiser("flux3", "FLUX.3", ("early_stream_modulations.image.lin.weight",)),
    Denoiser("chroma", "Chroma", (GUIDANCE,)),
    Denoiser("krea2", "Krea 2", ("txtfusion.projector.weight",)),
    Denoiser("qwen_image", "Qwen-Image", ("transformer_blocks.0.img_mod.1.weight",), ("txt_in.text_norm.weight",)),
    Denoiser("qwen_image21", "Qwen-Image 2.1", ("txt_in.text_norm.weight",)),
    Denoiser("z_image", "Z-Image", ("layers.0.adaLN_modulation.0.weight",)),
    Denoiser("lumina2", "Lumina 2", ("cap_embedder.0.weight",), ("layers.0.adaLN_modulation.0.weight",)),
    Denoiser("auraflow", "AuraFlow", ("double_layers.0.attn.w1q.weight",)),
    Denoiser("hidream", "HiDream", ("double_stream_blocks.0.block.adaLN_modulation.1.bias",)),
    Denoiser("hunyuan_dit", "HunyuanDiT", ("mlp_t5.0.weight",)),
    Denoiser("sana", "Sana", ("attention_y_norm.weight",)),
    Denoiser("stable_cascade", "Stable Cascade", ("clip_txt_mapper.weight",)),
    Denoiser("stable_cascade", "Stable Cascade", ("effnet_mapper.0.weight",)),
    Denoiser("anima", "Anima", ("llm_adapter.blocks.0.cross_attn.k_proj.weight",)),
    Denoiser("cosmos", "Cosmos", ("x_embedder.proj.1.weight",), ("llm_adapter.blocks.0.cross_attn.k_proj.weight",)),
    Denoiser("wan", "Wan", ("head.modulation",)),
    Denoiser("hunyuan_video", "HunyuanVideo", ("txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias",)),
    Denoiser("minimax_h3", "MiniMax-H3", ("token_refiner.blocks.0.attn.qkv_proj.weight",)),
    Denoiser("ltx", "LTX-Video", ("patchify_proj.weight",), ("av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight",)),
    Denoiser("ltx2", "LTX-2", ("av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight",)),
    Denoiser("mochi", "Mochi", ("blocks.0.attn.qkv_x.weight",)),
)  # fmt: skip
TITLES = {row.family: row.title for row in TRANSFORMERS} | {"svd": "Stable Video Diffusion"}
VIDEO = frozenset({"hunyuan_video", "minimax_h3", "wan", "ltx", "ltx2", "mochi", "cosmos", "svd"})
EPSILON = frozenset({"pixart", "hunyuan_dit", "stable_cascade"})  # the transformers that are not of flow matching
FLUX_INPUT = {64: "", 128: "depth or canny", 384: "fill"}
SD3_LARGE, SD35_MEDIUM_POSITIONS = "joint_blocks.37.x_block.mlp.fc1.weight", 147456
UNET_INPUT = {4: "", 5: "depth", 7: "upscale", 8: "instruct-pix2pix", 9: "inpaint"}
NF4 = "Its weights are quantised by bitsandbytes (NF4), which is not supported; fetch the fp16, bf16, fp8 or GGUF file."
UNCLIP = "This is Stable unCLIP, which starts from a picture's embedding; it makes none from a prompt here."
EDM = "This is an EDM model (like Playground 2.5 or CosXL) with noise levels of its own; fetch its diffusers folder."
PRUNED = "This is a pruned SDXL (like SSD-1B or Vega), which can be loaded from its diffusers folder only."
ZERO123 = "This is Zero123, which shows an object in a picture from other sides; it makes no picture from a prompt."


def fitting(view: View) -> list[tuple[Denoiser, str]]:
    """The rows of TRANSFORMERS that a file fits, each with the prefix of its denoiser's names."""
    found = ((row, stem) for row in TRANSFORMERS for stem in STEMS if view.has(*(stem + key for key in row.has)))
    return [(row, stem) for row, stem in found if not any(view.has(stem + key) for key in row.lacks)]


def transformer(view: View) -> Sniffed | None:
    row, stem = next(iter(fitting(view)), (None, ""))
    if row is None:
        return None
    prediction = "epsilon" if row.family in EPSILON else "flow_prediction"
    problem = _video(row.family) if row.family in VIDEO else NF4 if view.contains(".quant_state.bitsandbytes") else None
    variant = _transformer_variant(view, row.family, stem)
    return Sniffed("checkpoint", row.family, variant, prediction, problem=problem)


def _video(family: str) -> str:
    return f"This is a video model ({TITLES[family]}); only images are made here."


def _transformer_variant(view: View, family: str, stem: str) -> str:
    few_step = "few-step" if _few_step(view) else ""
    if family == "flux":
        guided = view.starts(stem + "guidance_in.")
        return FLUX_INPUT.get(view.size(stem + "img_in.weight", 1)) or ("" if guided else "few-step") or few_step
    if family == "sd3" and not few_step:
        if view.has(stem + SD3_LARGE):
            return "3.5-large"
        return "3.5-medium" if view.size(stem + "pos_embed", 1) == SD35_MEDIUM_POSITIONS else "3-medium"
    return few_step


def _few_step(view: View) -> bool:
    names = [view.name, *(view.metadata(f"modelspec.{key}") for key in ("title", "tags"))]
    return any(FEW_STEP.search(name) for name in names)


def unet(view: View) -> Sniffed | None:
    """A latent-diffusion U-Net in CompVis' naming: SD 1, SD 2, SDXL and its refiner."""
    first = "input_blocks.0.0.weight"
    stem = next((stem for stem in STEMS if view.has(stem + first)), None)
    if stem is None:
        return None
    if view.has("cc_projection.weight"):
        return Sniffed("unknown", problem=ZERO123)
    if view.contains("time_stack") or view.starts("conditioner.embedders.0.open_clip.model.visual"):
        return Sniffed("checkpoint", "svd", problem=_video("svd"))
    label = view.size(stem + "label_emb.0.0.weight", -1)
    pattern = re.escape(stem) + r"input_blocks\.\d+\.1\.transformer_blocks\.0\.attn2\.to_k\.weight$"
    context = CONTEXT_FAMILY.get(view.first_size(pattern, -1))
    family = "sdxl" if label in (2560, 2816) or (label and context == "sdxl") else context
    if family is None:
        return None
    variant = "refiner" if label == 2560 else UNET_INPUT.get(view.size(stem + first, 1), "")
    prediction = _unet_prediction(view, family, variant)
    if not variant:
        variant = "v-prediction" if prediction == "v_prediction" else "few-step" if _few_step(view) else ""
    return Sniffed("checkpoint", family, variant, prediction, problem=_unet_problem(view, stem, family, label))


def _unet_problem(view: View, stem: str, family: str, label: int) -> str | None:
    """U-Nets of a known family's layout that are something else."""
    if family == "sd2" and label:
        return UNCLIP
    if view.has("edm_mean") or view.starts("edm_vpred."):
        return EDM
    deep = re.escape(stem) + r"(input_blocks\.[78]|middle_block)\.1\.transformer_blocks\."
    return PRUNED if label == 2816 and view.matches(deep) and not view.matches(deep + r"9\.") else None


def _unet_prediction(view: View, family: str, variant: str) -> str:
    """Marker keys, then metadata, then (for SD 2 alone) the name: without a hint a full-size SD 2 predicts v."""
    if view.has("v_pred"):
        return "v_prediction"
    stated = view.metadata("modelspec.prediction_type")
    if stated:
        return "v_prediction" if stated.startswith("v") else "epsilon"
    if re.search(r"v[-_]?pred", view.name, re.IGNORECASE):
        return "v_prediction"
    if family != "sd2" or variant == "inpaint" or re.search(r"base|512|eps|turbo", view.name, re.IGNORECASE):
        return "epsilon"
    return "v_prediction"
