"""Says what a weights file is from the names and shapes in its header: kind, family, variant. The first rule that fits wins.

Pure: a Header in, a Sniffed out. The file's name is asked only where headers of different models are identical
(few-step or not, SD 2 epsilon or v), and metadata is asked before the name.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from studio.core.models import Kind
from studio.manager.headers import Header, Tensor

PREFIX = "model.diffusion_model."
CONTEXT_FAMILY = {768: "sd1", 1024: "sd2", 2048: "sdxl"}
FEW_STEP = re.compile(r"turbo|lightning|hyper|\blcm\b|[-_.]lcm|schnell|dmd2?|tcd", re.IGNORECASE)


@dataclass(frozen=True)
class Sniffed:
    """What a header shows. `parts` are the components found in a checkpoint; `flavour` is a LoRA's own."""

    kind: Kind
    family: str | None = None
    variant: str = ""
    prediction: str = "epsilon"
    parts: frozenset[str] = frozenset()
    flavour: str = ""
    problem: str | None = None


class View:
    """Questions that the rules ask of a header."""

    def __init__(self, header: Header, name: str):
        self.header = header
        self.name = name
        self.tensors: dict[str, Tensor] = header.tensors

    def has(self, key: str) -> bool:
        return key in self.tensors

    def starts(self, *prefixes: str) -> bool:
        return any(key.startswith(prefixes) for key in self.tensors)

    def contains(self, *words: str) -> bool:
        return any(word in key for key in self.tensors for word in words)

    def shape(self, key: str) -> tuple[int, ...]:
        tensor = self.tensors.get(key)
        return tensor.shape if tensor else ()

    def first(self, pattern: str) -> tuple[int, ...]:
        """The shape of the first tensor, in name order, whose name the pattern fits; () if none does."""
        return next((self.tensors[key].shape for key in self.sorted if re.search(pattern, key)), ())

    @cached_property
    def sorted(self) -> list[str]:
        return sorted(self.tensors)

    @cached_property
    def stem(self) -> str:
        """The denoiser's prefix in a checkpoint; empty where the file is the bare denoiser."""
        return PREFIX if self.starts(PREFIX) else ""

    def metadata(self, key: str) -> str:
        return self.header.metadata.get(key, "").lower()


Rule = Callable[[View], Sniffed | None]


def sniff(header: Header, name: str) -> Sniffed:
    """`name` is the file's name without folder."""
    view = View(header, name)
    found = next((found for rule in RULES if (found := rule(view))), None)
    if found is None:
        return Sniffed("unknown", problem="Nothing in its header is known here.")
    if header.format == "gguf":
        return Sniffed("gguf", found.family, found.variant, found.prediction, found.parts)
    return found


# ---- attachments -------------------------------------------------------------------------------------------------


def _lora(view: View) -> Sniffed | None:
    flavours = (
        ("loha", "hada_w1"),
        ("lokr", "lokr_w1"),
        ("kohya", ".lora_down."),
        ("diffusers", ".lora_A."),
        ("diffusers", "_lora.down."),
        ("diffusers", ".lora.down."),
    )
    flavour = next((flavour for flavour, word in flavours if view.contains(word)), "")
    if not flavour and all(key.endswith((".diff", ".diff_b", ".alpha")) for key in view.tensors) and view.tensors:
        flavour = "full"
    if not flavour:
        return None
    if view.starts("base_model.model."):
        flavour = "peft"
    if view.contains("dora_scale", "lora_magnitude_vector"):
        flavour += " dora"
    return Sniffed("lora", _lora_family(view), flavour, flavour=flavour)


def _lora_family(view: View) -> str | None:
    if view.contains("lora_te2_", "text_encoder_2.") and not view.contains("single_"):
        return "sdxl"
    if view.contains("single_transformer_blocks", "single_blocks"):
        return "flux"
    if view.contains("joint_blocks", "attn.add_k_proj", "attn_add_k_proj"):
        return "sd3"
    down = r"attn2[._](processor\.)?to_k(_lora)?\.(lora_down|lora_A|down|lora\.down|hada_w1_b|diff)"
    shape = view.first(down)
    if view.contains("adaln_single", "caption_projection") or view.starts("transformer.transformer_blocks"):
        return "pixart"
    return CONTEXT_FAMILY.get(shape[-1]) if shape else None


def _embedding(view: View) -> Sniffed | None:
    if view.has("clip_g"):
        return Sniffed("embedding", "sdxl")
    if len(view.tensors) > 4:
        return None
    key = next((key for key in view.tensors if key in ("emb_params", "clip_l") or key.startswith("string_to_")), None)
    if key is None and len(view.tensors) == 1:
        key = next(iter(view.tensors))
    shape = view.shape(key) if key else ()
    if len(shape) in (1, 2) and shape[-1] in (768, 1024):
        return Sniffed("embedding", CONTEXT_FAMILY[shape[-1]])
    return Sniffed("embedding") if key and key.startswith(("emb_params", "string_to_")) else None


def _controlnet(view: View) -> Sniffed | None:
    if not view.starts("control_model.", "controlnet_cond_embedding.", "controlnet_x_embedder.", "controlnet_blocks."):
        return None
    if view.contains("single_transformer_blocks") or view.has("controlnet_x_embedder.weight"):
        return Sniffed("controlnet", "flux")
    if view.contains("joint_attn", "attn.add_k_proj"):
        return Sniffed("controlnet", "sd3")
    shape = view.first(r"transformer_blocks\.0\.attn2\.to_k\.weight$")
    return Sniffed("controlnet", CONTEXT_FAMILY.get(shape[-1]) if shape else None)


def _ip_adapter(view: View) -> Sniffed | None:
    if not (view.starts("image_proj.") and view.starts("ip_adapter.")):
        return None
    shape = view.first(r"^ip_adapter\.\d+\.to_k_ip\.weight$")
    return Sniffed("ip_adapter", CONTEXT_FAMILY.get(shape[-1]) if shape else None)


def _upscaler(view: View) -> Sniffed | None:
    esrgan = view.contains("RRDB_trunk.", ".rdb1.conv1.") or view.has("model.1.sub.0.RDB1.conv1.0.weight")
    swin = view.contains("residual_group.blocks.0.attn")
    compact = view.has("body.0.weight") and view.has("body.1.weight") and not view.contains("block1")
    return Sniffed("upscaler") if esrgan or swin or compact else None


def _t2i_adapter(view: View) -> Sniffed | None:
    if not view.starts("body.0.", "adapter.body.0."):
        return None
    channels = view.first(r"(^|adapter\.)conv_in\.weight$")
    return Sniffed(
        "t2i_adapter", {192: "sd1", 64: "sd1", 768: "sdxl", 256: "sdxl"}.get(channels[1]) if channels else None
    )


# ---- checkpoints -------------------------------------------------------------------------------------------------

# (family, a tensor of its denoiser); in this order, since later ones' tensors also stand in earlier ones' files
TRANSFORMERS = (
    ("flux2", "single_stream_modulation.lin.weight"),
    ("chroma", "distilled_guidance_layer.in_proj.bias"),
    ("flux", "double_blocks.0.img_attn.norm.key_norm.scale"),
    ("krea2", "txtfusion.projector.weight"),
    ("qwen_image21", "txt_in.text_norm.weight"),
    ("qwen_image", "transformer_blocks.0.img_mod.1.weight"),
    ("z_image", "layers.0.adaLN_modulation.0.weight"),
    ("lumina2", "cap_embedder.0.weight"),
    ("auraflow", "double_layers.0.attn.w1q.weight"),
    ("hunyuan_video", "txt_in.individual_token_refiner.blocks.0.adaLN_modulation.1.bias"),
    ("sd3", "joint_blocks.0.context_block.adaLN_modulation.1.bias"),
    ("pixart", "y_embedder.y_embedding"),
    ("sana", "blocks.0.cross_attn.kv_linear.weight"),
    ("wan", "head.modulation"),
    ("ltx", "patchify_proj.weight"),
)
FLOW = {
    "flux2",
    "chroma",
    "flux",
    "krea2",
    "qwen_image21",
    "qwen_image",
    "z_image",
    "lumina2",
    "auraflow",
    "sd3",
    "sana",
}
FLUX_INPUT = {64: "", 128: "depth or canny", 384: "fill"}


def _transformer(view: View) -> Sniffed | None:
    family = next((family for family, key in TRANSFORMERS if view.has(view.stem + key)), None)
    if family is None:
        return None
    prediction = "flow_prediction" if family in FLOW else "epsilon"
    return Sniffed("checkpoint", family, _transformer_variant(view, family), prediction, _parts(view))


def _transformer_variant(view: View, family: str) -> str:
    if family == "flux":
        kind = FLUX_INPUT.get((view.shape(view.stem + "img_in.weight") or (0, 0))[1], "")
        guided = view.starts(view.stem + "guidance_in.")
        return kind or ("few-step" if not guided else "")
    if family == "sd3":
        if view.has(view.stem + "joint_blocks.37.x_block.mlp.fc1.weight"):
            return "3.5-large"
        return "3.5-medium" if (view.shape(view.stem + "pos_embed") or (0, 0))[1] == 147456 else "3-medium"
    return "few-step" if FEW_STEP.search(view.name) else ""


UNET_INPUT = {4: "", 5: "depth", 7: "upscale", 8: "instruct-pix2pix", 9: "inpaint"}


def _unet(view: View) -> Sniffed | None:
    """A latent-diffusion U-Net in CompVis' naming: SD 1, SD 2, SDXL and its refiner."""
    first = view.shape(view.stem + "input_blocks.0.0.weight")
    if len(first) != 4:
        return None
    if view.contains("time_stack") or view.starts("conditioner.embedders.0.open_clip.model.visual"):
        return Sniffed("checkpoint", "svd", problem="This is a video model; only images are made here.")
    label = view.shape(view.stem + "label_emb.0.0.weight")
    context = view.first(re.escape(view.stem) + r"input_blocks\.\d+\.1\.transformer_blocks\.0\.attn2\.to_k\.weight$")
    family = "sdxl" if label else CONTEXT_FAMILY.get(context[-1] if context else 0)
    if family is None:
        return None
    variant = "refiner" if label and label[-1] == 2560 else UNET_INPUT.get(first[1], "")
    prediction = _unet_prediction(view, family, variant)
    if not variant:
        variant = "v-prediction" if prediction == "v_prediction" else "few-step" if FEW_STEP.search(view.name) else ""
    return Sniffed("checkpoint", family, variant, prediction, _parts(view))


def _unet_prediction(view: View, family: str, variant: str) -> str:
    """Marker keys, then metadata, then (for SD 2 alone) the name: without a hint a full-size SD 2 predicts v."""
    if view.has("v_pred"):
        return "v_prediction"
    told = view.metadata("modelspec.prediction_type")
    if told:
        return "v_prediction" if told.startswith("v") else "epsilon"
    if re.search(r"v[-_]?pred", view.name, re.IGNORECASE):
        return "v_prediction"
    if family != "sd2" or variant == "inpaint" or re.search(r"base|512|eps", view.name, re.IGNORECASE):
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


def _vae(view: View) -> Sniffed | None:
    own = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "loss.", "bn.")
    if not view.starts("decoder.", "first_stage_model.decoder.") or not all(
        key.removeprefix("first_stage_model.").startswith(own) for key in view.tensors
    ):
        return None
    channels = view.first(r"decoder\.(conv_in|layers\.0|1)\.weight$")
    family = {4: "sd1", 16: "flux", 32: "flux2"}.get(channels[1]) if len(channels) == 4 else None
    return Sniffed("vae", family)


def _component(view: View) -> Sniffed | None:
    """One component in diffusers' or transformers' own naming, outside its folder."""
    if view.starts("down_blocks.") and view.has("conv_in.weight"):
        context = view.first(r"attn2\.to_k\.weight$")
        family = CONTEXT_FAMILY.get(context[-1]) if context else None
        what = "A U-Net alone, in diffusers' naming"
        return Sniffed("unknown", family, problem=f"{what}: it belongs into a diffusers folder, as unet/.")
    if view.starts("text_model.", "encoder.block.0.layer.0.SelfAttention"):
        return Sniffed("unknown", problem="A text encoder alone: it belongs into a diffusers folder, as text_encoder/.")
    if view.starts("transformer_blocks.", "single_transformer_blocks."):
        return Sniffed("unknown", problem="A transformer alone, in diffusers' naming: it belongs into its folder.")
    return None


RULES: tuple[Rule, ...] = (
    _lora, _controlnet, _ip_adapter, _upscaler, _t2i_adapter, _transformer, _unet, _vae, _component, _embedding,
)  # fmt: skip
