"""Says what a weights file is from the names and shapes in its header: kind, family, variant. The first rule that fits wins.

Pure: a Header in, a Sniffed out. The rules of single components are here; those of LoRAs and the like are in
`attachments`, those of denoisers in `checkpoints`.
"""

import re
from collections.abc import Callable
from dataclasses import replace

from studio.manager.disk import attachments, checkpoints
from studio.manager.disk.attachments import CONTEXT_FAMILY
from studio.manager.disk.header_view import Sniffed, View
from studio.manager.disk.headers import UNPACKED, Header, shown

VAE_PREFIXES = ("", "first_stage_model.", "vae.")
VAE_PARTS = (
    "encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "loss.", "bn.", "conv1.", "conv2.", "model_ema.",
)  # fmt: skip
# Channels of the latent -> (what the file's name may say, family); the last row is for names that say nothing.
VAE_FAMILIES = {
    4: ((r"xl", "sdxl"), (r"", "sd1")),
    16: ((r"(sd|diffusion)[-_]?3", "sd3"), (r"", "flux")),
    32: ((r"", "flux2"),),
}
# Wan's, with which Qwen-Image decodes too: as published, and as diffusers names it.
WAN_VAE = r"decoder\.conv1\.weight$|decoder\.mid_block\.resnets\.0\.norm1\.gamma$"
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
UMT5 = r"^(encoder\.)?block\.1\.layer\.0\.SelfAttention\.relative_attention_bias|^enc\.blk\.1\.attn_rel_b"
# (words of its tensors' names, what the file is) where it is a part of a model; a line break begins a name
PARTS = (
    ((".motion_modules.",), "A motion module of AnimateDiff, which makes video"),
    (("\nredux_up.",), "FLUX.1 Redux, which takes a picture in place of words"),
    (("\nvision_model.", "\nvisual."), "A CLIP image encoder, which IP-Adapters use"),
    (("\ntext_model.", "\nencoder.block.", "\ntransformer.resblocks.", "\nmodel.layers.", "\nmodel.language_model."), "A text encoder or language model alone"),
    (("\ntransformer_blocks.", "\nsingle_transformer_blocks."), "A transformer alone, in diffusers' naming: it belongs in its folder"),
)  # fmt: skip
CONVERTED = frozenset({"checkpoint", "text_encoder", "vae"})
QUANTISED = frozenset({"I8", "U8", "F4", "F6_E2M3", "F6_E3M2"})


def vae(view: View) -> Sniffed | None:
    stem = next((prefix for prefix in VAE_PREFIXES if view.starts(prefix + "decoder.")), None)
    if stem is None or not all(key.removeprefix(stem).startswith(VAE_PARTS) for key in view.tensors):
        return None
    if any(len(tensor.shape) == 5 for tensor in view.tensors.values()):  # convolutions over time as well
        return Sniffed("vae", "wan" if view.matches(WAN_VAE) else None, "video")
    if view.starts(stem + "decoder.condition_encoder."):
        return Sniffed("vae", None, "asymmetric")  # of a decoder that also sees what is to be kept
    channels = view.first_size(r"decoder\.(conv_in|layers\.0|1)\.weight$", 1)
    name = f"{view.name} {view.metadata('modelspec.architecture')}"
    rows = VAE_FAMILIES.get(channels, ())
    family = next((family for words, family in rows if re.search(words, name, re.IGNORECASE)), None)
    if family == "flux2" and not view.starts(stem + "bn."):
        family = None  # DC-AE, of Sana and others, has as many channels
    return Sniffed("vae", family, "tiny" if view.starts(stem + "decoder.layers.") else "")


def component(view: View) -> Sniffed | None:
    """A text encoder, or another part of a model outside its folder."""
    if view.starts("down_blocks.") and view.has("conv_in.weight") and not view.contains(".motion_modules."):
        family = CONTEXT_FAMILY.get(view.first_size(r"attn2\.to_k\.weight$", -1))
        problem = "A U-Net alone, in diffusers' naming: it belongs in a diffusers folder, as unet/."
        return Sniffed("unknown", family, problem=problem)
    for name, key, axis, length in TEXT_ENCODERS:
        if view.first_size(key, axis) == length:
            return Sniffed("text_encoder", None, _text_variant(view, name))
    part = next((what for words, what in PARTS if view.contains(*words)), None)
    return Sniffed("unknown", problem=f"{part}; it makes no pictures by itself.") if part else None


def _text_variant(view: View, name: str) -> str:
    """Those as wide as a known text encoder and yet others: trained on longer texts, or on all languages."""
    if name == "t5xxl":  # T5's first layer alone has a bias of positions, UMT5's every one
        return "umt5xxl" if view.matches(UMT5) else name
    positions = view.first_size(r"embeddings\.position_embedding\.weight$|^positional_embedding$", 0)
    return name if positions < LONG else f"{name} of {positions} words"


RULES: tuple[Callable[[View], Sniffed | None], ...] = (
    attachments.ip_adapter,  # before LoRAs, which those for faces carry within
    attachments.controlnet,
    attachments.lora,
    attachments.upscaler,
    attachments.t2i_adapter,
    checkpoints.transformer,
    checkpoints.unet,
    vae,
    component,
    attachments.embedding,
)


def sniff(header: Header, name: str) -> Sniffed:
    """`name` is the file's name without folder."""
    view = View(header, name)
    found = next((found for rule in RULES if (found := rule(view))), None)
    if found is None:
        return Sniffed("unknown", problem=_unknown(header))
    problem = found.problem or _quantisation(found, header)
    kind = "gguf" if header.format == "gguf" and found.kind == "checkpoint" else found.kind
    return replace(found, kind=kind, problem=problem)


def _unknown(header: Header) -> str:
    if not header.tensors:
        return "It holds no tensors."
    architecture = header.metadata.get("general.architecture")
    return "Unrecognised model type." if not architecture else f"Unrecognised model type: {shown(architecture, 40)}."


def _quantisation(found: Sniffed, header: Header) -> str | None:
    """The reason where weights are packed in a way that cannot be unpacked."""
    packings = {tensor.dtype for tensor in header.tensors.values() if len(tensor.shape) > 1}
    unread = sorted(packings - UNPACKED if header.format == "gguf" else packings & QUANTISED)
    if not unread or (header.format != "gguf" and found.kind not in CONVERTED):
        return None
    return f"Its weights are quantised as {unread[0]}, which is not supported; fetch the fp16, bf16, fp8 or another GGUF file."
