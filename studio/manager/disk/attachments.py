"""Rules that know what goes onto a model: LoRAs in all flavours, embeddings, ControlNets, adapters, upscalers. Pure.

Tensor names as their trainers write them: kohya-ss, LyCORIS, peft, diffusers, AUTOMATIC1111, ComfyUI, Stability, XLabs.
"""

from studio.manager.disk.header_view import SIGNATURES, Sniffed, View, family_of_base

CONTEXT_FAMILY = {768: "sd1", 1024: "sd2", 2048: "sdxl"}  # width of the prompt's embedding -> family
DOWN = r".{0,60}?(lora_down|lora_A|[._]down|hada_w1_b|diff)"
JOINT = r"[._]attn[._](processor[._])?(to_[qkv]|add_[qkv]_proj)" + DOWN
LORA_LAYERS: list[tuple[str, list[str], str]] = SIGNATURES["lora_layers"]
LORA_WIDTHS: list[tuple[list[str], str, dict[int, str]]] = [
    (words, layer.replace("<joint>", JOINT).replace("<down>", DOWN), CONTEXT_FAMILY if rows == "context" else rows)
    for words, layer, rows in SIGNATURES["lora_widths"]
]
# A U-Net of SDXL has several transformer blocks in a row, one of SD 1 or 2 never more than one.
SDXL_LAYERS = r"(down|up|mid|input|output|middle)_blocks?[._].{0,60}?transformer_blocks[._][1-9]\d*[._](attn|ff|norm)"
CONTROL_INPUT = 128  # channels of FLUX.1's latent with that of a picture that controls it, folded by 2 x 2


def lora(view: View) -> Sniffed | None:
    flavour = next((flavour for word, flavour in SIGNATURES["lora_flavours"] if view.contains(word)), "")
    if not flavour and view.tensors and all(key.endswith((".diff", ".diff_b", ".alpha")) for key in view.tensors):
        flavour = "full"
    if not flavour:
        return None
    family = _lora_family(view)
    if family == "flux" and view.first_size(r"(x_embedder|img_in)" + DOWN, -1) == CONTROL_INPUT:
        return Sniffed("controlnet", "flux", "control-lora")
    if view.starts("base_model.model."):
        flavour = "peft"
    if view.contains("dora_scale", "lora_magnitude_vector"):
        flavour += " dora"
    return Sniffed("lora", family, flavour)


def _lora_family(view: View) -> str | None:
    """By the layers' names, then their widths, then the text encoders, then what the trainer wrote down."""
    named = ((family, layers) for family, words, layers in LORA_LAYERS if view.contains(*words))
    by_name = next((family for family, layers in named if view.matches(layers)), None)
    if by_name == "flux" and view.first_size(r"double_blocks[._]\d+[._]img_attn[._]qkv" + DOWN, -1) in (4096, 6144):
        return "flux2"
    if by_name == "qwen_image" and view.first_size(r"transformer_blocks[._]\d+[._]attn[._]to_[qkv]" + DOWN, -1) == 4096:
        return "qwen_image21"
    if by_name:
        return by_name
    widths = (rows.get(view.first_size(layer, -1)) for words, layer, rows in LORA_WIDTHS if view.contains(*words))
    return next(filter(None, widths), None) or _lokr_family(view) or _text_lora_family(view) or _named_family(view)


def _lokr_family(view: View) -> str | None:
    """A LoKr is a Kronecker product: the widths of its two factors multiply."""
    stem = r"attn2[._]to_[kv]\.lokr_"
    return CONTEXT_FAMILY.get(view.first_size(stem + r"w1(_b)?$", -1) * view.first_size(stem + r"w2(_b)?$", -1))


def _text_lora_family(view: View) -> str | None:
    if view.matches(SDXL_LAYERS) or view.contains("lora_te2_", "text_encoder_2."):
        return "sdxl"
    width = view.first_size(r"^(lora_te_|text_encoder\.).{0,80}?(q_proj|mlp[._]fc1)" + DOWN, -1)
    return {768: "sd1", 1024: "sd2"}.get(width)


def _named_family(view: View) -> str | None:
    return family_of_base(view.metadata("ss_base_model_version") or view.metadata("modelspec.architecture"))


def embedding(view: View) -> Sniffed | None:
    if view.has("clip_l", "clip_g"):
        return Sniffed("embedding", "sd3" if view.has("t5xxl") else "sdxl")
    keys = list(view.tensors)
    named = next((key for key in keys if key in ("emb_params", "clip_l") or key.startswith("string_to_")), None)
    if len(keys) > 4 or (named is None and len(keys) != 1):
        return None
    shape = view.tensors[named or keys[0]].shape
    if len(shape) in (1, 2) and shape[-1] in (768, 1024):
        return Sniffed("embedding", CONTEXT_FAMILY[shape[-1]])
    return Sniffed("embedding") if named and named != "clip_l" else None


def controlnet(view: View) -> Sniffed | None:
    if view.contains(".motion_modules."):
        return None  # for AnimateDiff
    if view.has("lora_controlnet"):
        return Sniffed("controlnet", _context_family(view, r"attn2\.to_k\.(down|weight)$"), "control-lora")
    if view.starts("lllite_unet"):
        return Sniffed("controlnet", "sdxl", "lllite")
    if not view.starts(*SIGNATURES["controls"]) and not (
        view.starts("input_hint_block.") and view.starts("zero_convs.")
    ):
        return None
    family = next((family for family, words in SIGNATURES["control_families"] if view.contains(*words)), None)
    union = view.contains("control_add_embedding.", "controlnet_mode_embedder.")
    family = family or _context_family(view, r"transformer_blocks\.0\.attn2\.to_k\.weight$")
    return Sniffed("controlnet", family, "union" if union else "")


def _context_family(view: View, pattern: str) -> str | None:
    return CONTEXT_FAMILY.get(view.first_size(pattern, -1))


def ip_adapter(view: View) -> Sniffed | None:
    if view.contains("ip_adapter_double_stream_k_proj"):
        return Sniffed("ip_adapter", "flux")
    if not (view.starts("image_proj.") and view.starts("ip_adapter.")):
        return None
    face = view.contains("to_q_lora.down", "to_k_lora.down") or view.starts("image_proj.perceiver_resampler.")
    plus = view.starts("image_proj.latents", "image_proj.perceiver_resampler.latents")
    variant = " ".join(word for word, said in (("face-id", face), ("plus", plus)) if said)
    return Sniffed("ip_adapter", _context_family(view, r"^ip_adapter\.\d+\.to_k_ip\.weight$"), variant)


def upscaler(view: View) -> Sniffed | None:
    if view.contains(*SIGNATURES["upscalers"]):
        return Sniffed("upscaler")
    compact = any(view.has(prefix + "body.0.weight", prefix + "body.1.weight") for prefix in ("", "params."))
    return Sniffed("upscaler") if compact and not view.contains("block1") else None


def t2i_adapter(view: View) -> Sniffed | None:
    if not view.starts("body.0.", "adapter.body.0."):
        return None
    # A picture of 1 or 3 channels is folded by 8 for SD 1 and by 16 for SDXL before the first convolution.
    channels = view.first_size(r"^(adapter\.)?conv_in\.weight$", 1)
    return Sniffed("t2i_adapter", {192: "sd1", 64: "sd1", 768: "sdxl", 256: "sdxl"}.get(channels))
