"""Rules that know what makes pictures: denoisers, alone or with their companions in one file; and single components. Pure.

Tensor names as the models' publishers write them (the table of `formats-security` facts and diffusers' single-file
loader name the same ones). The file's name is asked only where headers of different models are identical.
"""

import re

from studio.manager.disk.attachments import CONTEXT_FAMILY
from studio.manager.disk.header_view import Sniffed, View

PREFIX = "model.diffusion_model."
STEMS = (PREFIX, "diffusion_model.", "net.")
# A method's name as a word of its own: "HyperSD" and "sdxl-turbo" are of few steps, "hyperrealism" is not.
FEW_STEP = re.compile(
    r"turbo|lightning|schnell|hyper[-_ ]?(sd|flux)|(?<![a-z])(hyper|lcm|dmd2?|tcd|distill?ed)(?![a-z])|LCM|DMD2", re.IGNORECASE
)  # fmt: skip

# (family, a tensor of its denoiser); in this order, since later ones' tensors also stand in earlier ones' files
TRANSFORMERS = (
    ("flux3", "early_stream_modulations.image.lin.weight"),
    ("flux2", "single_stream_modulation.lin.weight"),
    ("chroma", "distilled_guidance_layer.in_proj.bias"),
    ("hunyuan_video", "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias"),
    ("flux", "double_blocks.0.img_attn.norm.key_norm.scale"),
    ("flux", "double_blocks.0.img_attn.norm.key_norm.weight"),
    ("krea2", "txtfusion.projector.weight"),
    ("qwen_image21", "txt_in.text_norm.weight"),
    ("qwen_image", "transformer_blocks.0.img_mod.1.weight"),
    ("z_image", "layers.0.adaLN_modulation.0.weight"),
    ("lumina2", "cap_embedder.0.weight"),
    ("auraflow", "double_layers.0.attn.w1q.weight"),
    ("hidream", "double_stream_blocks.0.block.adaLN_modulation.1.bias"),
    ("hunyuan_dit", "mlp_t5.0.weight"),
    ("minimax_h3", "token_refiner.blocks.0.attn.qkv_proj.weight"),
    ("sd3", "joint_blocks.0.context_block.adaLN_modulation.1.bias"),
    ("sana", "attention_y_norm.weight"),
    ("pixart", "y_embedder.y_embedding"),
    ("sana", "blocks.0.cross_attn.kv_linear.weight"),
    ("wan", "head.modulation"),
    ("ltx2", "av_ca_a2v_gate_adaln_single.emb.timestep_embedder.linear_1.weight"),
    ("ltx", "patchify_proj.weight"),
    ("mochi", "blocks.0.attn.qkv_x.weight"),
    ("anima", "llm_adapter.blocks.0.cross_attn.k_proj.weight"),
    ("cosmos", "x_embedder.proj.1.weight"),
    ("stable_cascade", "clip_txt_mapper.weight"),
    ("stable_cascade", "effnet_mapper.0.weight"),
)
# How families are called that no file of `families` is for.
TITLES = {
    "flux2": "FLUX.2", "flux3": "FLUX.3", "chroma": "Chroma", "krea2": "Krea 2", "qwen_image": "Qwen-Image",
    "qwen_image21": "Qwen-Image 2.1", "z_image": "Z-Image", "lumina2": "Lumina 2", "auraflow": "AuraFlow",
    "hidream": "HiDream", "hunyuan_dit": "HunyuanDiT", "sana": "Sana", "stable_cascade": "Stable Cascade",
    "hunyuan_video": "HunyuanVideo", "minimax_h3": "MiniMax-H3", "wan": "Wan", "ltx": "LTX-Video", "ltx2": "LTX-2",
    "anima": "Anima", "mochi": "Mochi", "cosmos": "Cosmos", "svd": "Stable Video Diffusion",
}  # fmt: skip
VIDEO = frozenset({"hunyuan_video", "minimax_h3", "wan", "ltx", "ltx2", "mochi", "cosmos", "svd"})
EPSILON = frozenset({"pixart", "hunyuan_dit", "stable_cascade"})  # the transformers that are not of flow matching
FLUX_INPUT = {64: "", 128: "depth or canny", 384: "fill"}
NF4 = "Its weights are packed by bitsandbytes (NF4), which is not read here; fetch the fp16, bf16, fp8 or GGUF file."


def _stem(view: View, *keys: str) -> str:
    """The prefix under which the denoiser's tensors stand; empty where the file is the bare denoiser."""
    return next((stem for stem in STEMS if view.has(*(stem + key for key in keys))), "")


def transformer(view: View) -> Sniffed | None:
    rows = ((family, _stem(view, key), key) for family, key in TRANSFORMERS)
    family, stem = next(((family, stem) for family, stem, key in rows if view.has(stem + key)), (None, ""))
    if family is None:
        return None
    prediction = "epsilon" if family in EPSILON else "flow_prediction"
    problem = _video(family) if family in VIDEO else NF4 if view.contains(".quant_state.bitsandbytes") else None
    return Sniffed(
        "checkpoint", family, _transformer_variant(view, family, stem), prediction, _parts(view), "", problem
    )


def _video(family: str) -> str:
    return f"This is a video model ({TITLES[family]}); only images are made here."


def _transformer_variant(view: View, family: str, stem: str) -> str:
    if family == "flux":
        kind = FLUX_INPUT.get(view.size(stem + "img_in.weight", 1), "")
        guided = view.starts(stem + "guidance_in.")
        return kind or ("few-step" if not guided or _few_step(view) else "")
    if family == "sd3":
        if _few_step(view):
            return "few-step"
        if view.has(stem + "joint_blocks.37.x_block.mlp.fc1.weight"):
            return "3.5-large"
        return "3.5-medium" if view.size(stem + "pos_embed", 1) == 147456 else "3-medium"
    return "few-step" if _few_step(view) else ""


def _few_step(view: View) -> bool:
    told = [view.name, *(view.metadata(f"modelspec.{key}") for key in ("title", "tags"))]
    return any(FEW_STEP.search(words) for words in told)


UNET_INPUT = {4: "", 5: "depth", 7: "upscale", 8: "instruct-pix2pix", 9: "inpaint"}


def unet(view: View) -> Sniffed | None:
    """A latent-diffusion U-Net in CompVis' naming: SD 1, SD 2, SDXL and its refiner."""
    stem = _stem(view, "input_blocks.0.0.weight")
    first = view.shape(stem + "input_blocks.0.0.weight")
    if len(first) != 4:
        return None
    if view.contains("time_stack") or view.starts("conditioner.embedders.0.open_clip.model.visual"):
        return Sniffed("checkpoint", "svd", problem=_video("svd"))
    label = view.size(stem + "label_emb.0.0.weight", -1)
    pattern = re.escape(stem) + r"input_blocks\.\d+\.1\.transformer_blocks\.0\.attn2\.to_k\.weight$"
    context = CONTEXT_FAMILY.get(view.first_size(pattern, -1))
    family = "sdxl" if label in (2560, 2816) or (label and context == "sdxl") else context
    if family is None:
        return None
    variant = "refiner" if label == 2560 else UNET_INPUT.get(first[1], "")
    prediction = _unet_prediction(view, family, variant)
    if not variant:
        variant = "v-prediction" if prediction == "v_prediction" else "few-step" if _few_step(view) else ""
    return Sniffed(
        "checkpoint", family, variant, prediction, _parts(view), "", _unet_problem(view, stem, family, label)
    )


def _unet_problem(view: View, stem: str, family: str, label: int) -> str | None:
    """U-Nets of a known family's layout that are something else."""
    if family == "sd2" and label:
        return "This is Stable unCLIP, which starts from a picture's embedding; it makes none from a prompt here."
    if view.has("edm_mean") or view.starts("edm_vpred."):
        return "This is an EDM model (like Playground 2.5 or CosXL) with noise levels of its own; fetch its diffusers folder."
    deep = re.escape(stem) + r"(input_blocks\.[78]|middle_block)\.1\.transformer_blocks\."
    if family == "sdxl" and label == 2816 and view.matches(deep) and not view.matches(deep + r"9\."):
        return "This is a pruned SDXL (like SSD-1B or Vega), which is read from its diffusers folder only."
    return None


def _unet_prediction(view: View, family: str, variant: str) -> str:
    """Marker keys, then metadata, then (for SD 2 alone) the name: without a hint a full-size SD 2 predicts v."""
    if view.has("v_pred"):
        return "v_prediction"
    told = view.metadata("modelspec.prediction_type")
    if told:
        return "v_prediction" if told.startswith("v") else "epsilon"
    if re.search(r"v[-_]?pred", view.name, re.IGNORECASE):
        return "v_prediction"
    if family != "sd2" or variant == "inpaint" or re.search(r"base|512|eps|turbo", view.name, re.IGNORECASE):
        return "epsilon"
    return "v_prediction"


def _parts(view: View) -> frozenset[str]:
    """Which components stand in a checkpoint beside its denoiser."""
    found = {"denoiser"}
    if view.starts("first_stage_model.decoder.", "vae.decoder."):
        found.add("vae")
    if view.starts("cond_stage_model.", "conditioner.embedders.", "text_encoders."):
        found.add("text_encoder")
    return frozenset(found)


# ---- single components ----------------------------------------------------------------------------------------------

VAE_PREFIXES = ("first_stage_model.", "vae.")
VAE_PARTS = (
    "encoder.",
    "decoder.",
    "quant_conv.",
    "post_quant_conv.",
    "loss.",
    "bn.",
    "conv1.",
    "conv2.",
    "model_ema.",
)
# Channels of the latent -> (what the file's name may say, family); the last row is for names that say nothing.
VAE_FAMILIES = {
    4: ((r"xl", "sdxl"), (r"", "sd1")),
    16: ((r"(sd|diffusion)[-_]?3", "sd3"), (r"", "flux")),
    32: ((r"", "flux2"),),
}
# Wan's, with which Qwen-Image decodes too: as published, and as diffusers names it.
WAN_VAE = r"decoder\.conv1\.weight$|decoder\.mid_block\.resnets\.0\.norm1\.gamma$"
TINY_VAE = "This is half of a tiny autoencoder (TAESD), which ComfyUI uses for previews; previews need no file here."


def vae(view: View) -> Sniffed | None:
    if view.has("1.weight", "3.conv.0.weight") or view.has("0.weight", "1.conv.0.weight"):
        return Sniffed("unknown", problem=TINY_VAE)
    stem = next((prefix for prefix in ("", *VAE_PREFIXES) if view.starts(prefix + "decoder.")), None)
    if stem is None or not all(key.removeprefix(stem).startswith(VAE_PARTS) for key in view.tensors):
        return None
    if any(len(tensor.shape) == 5 for tensor in view.tensors.values()):  # convolutions over time as well
        return Sniffed("vae", "wan" if view.matches(WAN_VAE) else None, "video")
    if view.starts(stem + "decoder.condition_encoder."):
        return Sniffed("vae", None, "asymmetric")  # of a decoder that also sees what is to be kept
    channels = view.first_size(r"decoder\.(conv_in|layers\.0|1)\.weight$", 1)
    told = f"{view.name} {view.metadata('modelspec.architecture')}"
    rows = VAE_FAMILIES.get(channels, ())
    family = next((family for words, family in rows if re.search(words, told, re.IGNORECASE)), None)
    if family == "flux2" and not view.starts(stem + "bn."):
        family = None  # DC-AE, of Sana and others, has as many channels
    return Sniffed("vae", family, "tiny" if view.starts(stem + "decoder.layers.") else "")


# (name, a tensor of it, axis, its length there) of text encoders as ComfyUI keeps them, in text_encoders/ or clip/
TEXT_ENCODERS = (
    ("clip_l", r"^(text_encoder\.)?text_model\.embeddings\.token_embedding\.weight$", 1, 768),
    ("clip_h", r"^(text_encoder\.)?text_model\.embeddings\.token_embedding\.weight$", 1, 1024),
    ("clip_g", r"^(text_encoder\.)?text_model\.embeddings\.token_embedding\.weight$", 1, 1280),
    ("clip_g", r"^token_embedding\.weight$", 1, 1280),
    ("t5xxl", r"^enc\.blk\.0\.attn_q\.weight$", 1, 4096),  # as llama.cpp names it
    ("t5xxl", r"^(encoder\.)?block\.0\.layer\.0\.SelfAttention\.q\.weight$", 1, 4096),
)
LONG = 248  # positions of Long-CLIP's text; CLIP's has 77
UMT5 = ("encoder.block.1.layer.0.SelfAttention.relative_attention_bias", "block.1.layer.0.SelfAttention.relative_attention_bias", "enc.blk.1.attn_rel_b")  # fmt: skip
LONELY = (  # (a prefix of its tensors, what it is)
    ("text_model.", "A text encoder alone: it belongs into a diffusers folder, as text_encoder/."),
    ("encoder.block.0.layer.0.SelfAttention", "A T5 alone: it belongs into a diffusers folder, as its text encoder."),
    ("transformer.resblocks.", "A text encoder alone, in OpenCLIP's naming: it serves as part of a checkpoint only."),
    ("model.layers.0.self_attn.", "A language model alone, such as some image models have for their text encoder."),
    ("model.language_model.", "A language model alone, such as some image models have for their text encoder."),
    ("redux_up.", "FLUX.1 Redux, which takes a picture in place of words; it makes none by itself."),
    ("pulid_encoder.", "PuLID, which gives FLUX.1 a face to follow; it makes no pictures by itself."),
    ("vision_model.", "A CLIP image encoder, which IP-Adapters look through; it makes no pictures by itself."),
    ("visual.", "A CLIP image encoder, which IP-Adapters look through; it makes no pictures by itself."),
    ("transformer_blocks.", "A transformer alone, in diffusers' naming: it belongs into its folder."),
    ("single_transformer_blocks.", "A transformer alone, in diffusers' naming: it belongs into its folder."),
)


def component(view: View) -> Sniffed | None:
    """One component in diffusers' or transformers' own naming, outside its folder."""
    if view.contains(".motion_modules."):
        return Sniffed(
            "unknown", problem="A motion module of AnimateDiff, which makes video; only images are made here."
        )
    if view.starts("down_blocks.") and view.has("conv_in.weight"):
        family = CONTEXT_FAMILY.get(view.first_size(r"attn2\.to_k\.weight$", -1))
        what = "A U-Net alone, in diffusers' naming"
        return Sniffed("unknown", family, problem=f"{what}: it belongs into a diffusers folder, as unet/.")
    for name, key, axis, length in TEXT_ENCODERS:
        if view.first_size(key, axis) == length:
            return Sniffed("text_encoder", None, _text_variant(view, name))
    lonely = next((words for prefix, words in LONELY if view.starts(prefix)), None)
    return Sniffed("unknown", problem=lonely) if lonely else None


def _text_variant(view: View, name: str) -> str:
    """Text encoders as wide as a known one, and others all the same: those trained on longer texts, or on all languages."""
    if name == "t5xxl":  # T5's first layer alone knows positions, UMT5's every one
        return "umt5xxl" if view.starts(*UMT5) else name
    positions = view.first_size(r"embeddings\.position_embedding\.weight$|^positional_embedding$", 0)
    return name if positions < LONG else f"{name} of {positions} words"
