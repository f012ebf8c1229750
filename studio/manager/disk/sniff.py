"""Says what a weights file is from the names and shapes in its header: kind, family, variant. The first rule that fits wins.

Pure: a Header in, a Sniffed out. Here are the rules of denoisers, alone or with their text encoders and autoencoder in one
file, and of single components; those of LoRAs and the like are in `attachments`. Tensor names are those that the models'
publishers write. The file's name is asked only where the headers of different models are identical.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from studio.manager.disk import attachments
from studio.manager.disk.attachments import CONTEXT_FAMILY
from studio.manager.disk.header_view import SIGNATURES, Notes, Sniffed, View
from studio.manager.disk.headers import UNPACKED, Header
from studio.manager.disk.safe_files import shown

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
    has: list[str]
    lacks: list[str] = []


TRANSFORMERS = tuple(Denoiser(**row) for row in SIGNATURES["denoisers"])
TITLES = {row.family: row.title for row in TRANSFORMERS} | {"svd": "Stable Video Diffusion"}
FLUX_INPUT = {64: "", 128: "depth or canny", 384: "fill"}
SD3_LARGE, SD35_MEDIUM_POSITIONS = "joint_blocks.37.x_block.mlp.fc1.weight", 147456
UNET_INPUT = {4: "", 5: "depth", 7: "upscale", 8: "instruct-pix2pix", 9: "inpaint"}
NF4 = "Its weights are quantised by bitsandbytes (NF4), which is not supported; fetch the fp16, bf16, fp8 or GGUF file."
UNCLIP = "This is Stable unCLIP, which starts from a picture's embedding; it makes none from a prompt here."
EDM = "This is an EDM model (like Playground 2.5 or CosXL) with noise levels of its own; fetch its diffusers folder."
PRUNED = "This is a pruned SDXL (like SSD-1B or Vega), which can be loaded from its diffusers folder only."
ZERO123 = "This is Zero123, which shows an object in a picture from other sides; it makes no picture from a prompt."
VAE_PREFIXES = ("", "first_stage_model.", "vae.")
VAE_PARTS = (
    "encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "loss.", "bn.", "conv1.", "conv2.", "model_ema.",
)  # fmt: skip
# Wan's, with which Qwen-Image decodes too: as published, and as diffusers names it.
WAN_VAE = r"decoder\.conv1\.weight$|decoder\.mid_block\.resnets\.0\.norm1\.gamma$"
TEXT_ENCODERS: tuple[tuple[str, str, int, int], ...] = tuple(map(tuple, SIGNATURES["text_encoders"]))
LONG = 248  # positions of Long-CLIP's text; CLIP's has 77
UMT5 = r"^(encoder\.)?block\.1\.layer\.0\.SelfAttention\.relative_attention_bias|^enc\.blk\.1\.attn_rel_b"
HAS_FAMILY = frozenset({"lora", "embedding", "controlnet", "t2i_adapter", "ip_adapter"})
DISTILLED = frozenset({"sd1", "sd2", "sdxl", "sd3"})  # families whose base models' names may say so
CONVERTED = frozenset({"checkpoint", "text_encoder", "vae"})
QUANTISED = frozenset({"I8", "U8", "F4", "F6_E2M3", "F6_E3M2"})


# ---- denoisers ------------------------------------------------------------------------------------------------------


def fitting(view: View) -> list[tuple[Denoiser, str]]:
    """The rows of TRANSFORMERS that a file fits, each with the prefix of its denoiser's names."""
    found = ((row, stem) for row in TRANSFORMERS for stem in STEMS if view.has(*(stem + key for key in row.has)))
    return [(row, stem) for row, stem in found if not any(view.has(stem + key) for key in row.lacks)]


def transformer(view: View) -> Sniffed | None:
    row, stem = next(iter(fitting(view)), (None, ""))
    if row is None:
        return None
    prediction = "epsilon" if row.family in SIGNATURES["epsilon"] else "flow_prediction"
    problem = (
        _video(row.family)
        if row.family in SIGNATURES["video"]
        else NF4
        if view.contains(".quant_state.bitsandbytes")
        else None
    )
    variant = _transformer_variant(view, row.family, stem)
    return Sniffed("checkpoint", row.family, variant, prediction, problem=problem)


def _video(family: str) -> str:
    return f"This is a video model ({TITLES[family]}); only images are made here."


def _transformer_variant(view: View, family: str, stem: str) -> str:
    few_step = "few-step" if _few_step(view, family) else ""
    if family == "flux":
        guided = view.starts(stem + "guidance_in.")
        return FLUX_INPUT.get(view.size(stem + "img_in.weight", 1)) or ("" if guided else "few-step") or few_step
    if family == "sd3" and not few_step:
        if view.has(stem + SD3_LARGE):
            return "3.5-large"
        return "3.5-medium" if view.size(stem + "pos_embed", 1) == SD35_MEDIUM_POSITIONS else "3-medium"
    return few_step


def _few_step(view: View, family: str) -> bool:
    """Distilled for few steps, as its name, its metadata or the site's note of its base model says."""
    names = [view.name, *(view.metadata(f"modelspec.{key}") for key in ("title", "tags"))]
    noted = [view.notes.base] if view.notes.family == family and family in DISTILLED else []
    return any(FEW_STEP.search(name) for name in (*names, *noted))


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
        prediction = "v_prediction" if view.notes.predicts_v else prediction
        variant = "v-prediction" if prediction == "v_prediction" else "few-step" if _few_step(view, family) else ""
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


# ---- components -----------------------------------------------------------------------------------------------------


def vae(view: View) -> Sniffed | None:
    stem = next((prefix for prefix in VAE_PREFIXES if view.starts(prefix + "decoder.")), None)
    if stem is None or not all(key.removeprefix(stem).startswith(VAE_PARTS) for key in view.tensors):
        return None
    if any(len(tensor.shape) == 5 for tensor in view.tensors.values()):  # convolutions over time as well
        return Sniffed("vae", "wan" if view.matches(WAN_VAE) else None, "video")
    if view.starts(stem + "decoder.condition_encoder."):
        return Sniffed("vae", None, "asymmetric")  # of a decoder that also sees what is to be kept
    family = _vae_family(view, view.first_size(r"decoder\.(conv_in|layers\.0|1)\.weight$", 1))
    if family == "flux2" and not view.starts(stem + "bn."):
        family = None  # DC-AE, of Sana and others, has as many channels
    return Sniffed("vae", family, "tiny" if view.starts(stem + "decoder.layers.") else "")


def _vae_family(view: View, channels: int) -> str | None:
    """By its name, its base model, its folder's words, then its shape."""
    families = SIGNATURES["vae_families"].get(channels, [])
    name = f"{view.name} {view.metadata('modelspec.architecture')}"
    said = [
        *(family for words, _, family in SIGNATURES["vae_names"] if re.search(words, name, re.IGNORECASE)),
        view.notes.family,
        *(f for _, words, f in SIGNATURES["vae_names"] if re.search(words, view.notes.folders, re.IGNORECASE)),
        *families,
    ]
    return next((family for family in said if family in families), None)


def component(view: View) -> Sniffed | None:
    """A text encoder, or another part of a model outside its folder."""
    if view.starts("down_blocks.") and view.has("conv_in.weight") and not view.contains(".motion_modules."):
        family = CONTEXT_FAMILY.get(view.first_size(r"attn2\.to_k\.weight$", -1))
        problem = "A U-Net alone, in diffusers' naming: it belongs in a diffusers folder, as unet/."
        return Sniffed("unknown", family, problem=problem)
    for name, key, axis, length in TEXT_ENCODERS:
        if view.first_size(key, axis) == length:
            return Sniffed("text_encoder", None, _text_variant(view, name))
    part = next((what for words, what in SIGNATURES["parts"] if view.contains(*words)), None)
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
    transformer,
    unet,
    vae,
    component,
    attachments.embedding,
)


def sniff(header: Header, name: str, notes: Notes = Notes()) -> Sniffed:
    """`name` is the file's name without folder. What `notes` say is asked only where the header shows nothing."""
    view = View(header, name, notes)
    found = next((found for rule in RULES if (found := rule(view))), None)
    if found is None:
        return Sniffed("unknown", problem=_unknown(header))
    if found.family is None and found.kind in HAS_FAMILY:
        found = replace(found, family=notes.family)
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
