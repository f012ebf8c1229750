"""A LoRA of a transformer is known for its own family or for none: one that were offered elsewhere would fit nothing."""

import pytest

from studio.manager.disk.header_view import Sniffed
from studio.manager.disk.headers import Header, Tensor
from studio.manager.disk.sniff import sniff
from tests.models import published_layouts as published
from tests.models.sparse_headers import Shapes
from tests.sweeps import one_in

# diffusers' class, with its published sizes -> the family of a LoRA on all its layers, and of one on attention alone
TRAINED: dict[str, tuple[str | None, str | None]] = {
    "FluxTransformer2DModel": ("flux", "flux"),
    "ChromaTransformer2DModel": ("chroma", "flux"),  # attention layers of one name and one width
    "Flux2Transformer2DModel": ("flux2", None),
    "Flux3Transformer2DModel": ("flux3", "flux3"),
    "QwenImageTransformer2DModel": ("qwen_image", "qwen_image"),
    "QwenImage21Transformer2DModel": ("qwen_image21", "qwen_image21"),
    "AuraFlowTransformer2DModel": ("auraflow", "auraflow"),
    "Krea2Transformer2DModel": ("krea2", "krea2"),
    "ZImageTransformer2DModel": ("z_image", "z_image"),
    "Lumina2Transformer2DModel": ("lumina2", "lumina2"),
    "PixArtTransformer2DModel": ("pixart", "pixart"),
    "SanaTransformer2DModel": ("sana", "sana"),
    "HunyuanVideoTransformer3DModel": ("hunyuan_video", "hunyuan_video"),
    # of no family here, though their layers are called as others' are
    "CosmosTransformer3DModel": (None, None),
    "LTXVideoTransformer3DModel": (None, None),
    "SkyReelsV2Transformer3DModel": (None, None),
    "StableAudioDiTModel": (None, None),
    "CogView4Transformer2DModel": (None, None),
    "MochiTransformer3DModel": (None, None),
    "WanTransformer3DModel": (None, None),
}


def sniffed(shapes: Shapes) -> Sniffed:
    return sniff(
        Header("safetensors", {key: Tensor("F16", shape, 0) for key, shape in shapes.items()}), "x.safetensors"
    )


def peft(layers: Shapes, prefix: str) -> Shapes:
    """A LoRA on every layer with a matrix, as peft saves it."""
    shapes: Shapes = {}
    for key, shape in layers.items():
        if key.endswith(".weight") and len(shape) == 2:
            stem = prefix + key.removesuffix(".weight")
            shapes |= {f"{stem}.lora_A.weight": (16, shape[1]), f"{stem}.lora_B.weight": (shape[0], 16)}
    return shapes


@pytest.mark.parametrize("name", one_in(3, TRAINED))
def test_of_every_transformer(name: str) -> None:
    every = published.made(name)
    attention = {
        key: shape for key, shape in every.items() if key.endswith((".to_q.weight", ".to_k.weight", ".to_v.weight"))
    }
    for prefix in ("transformer.", "base_model.model."):
        found = [sniffed(peft(layers, prefix)) for layers in (every, attention)]
        assert [one.kind for one in found] == ["lora", "lora"]
        assert tuple(one.family for one in found) == TRAINED[name]


# As their trainers name them; the widths are the published ones.
NAMED: dict[str, tuple[Shapes, str | None, str]] = {
    "XLabs' FLUX.1": (
        {"double_blocks.0.processor.qkv_lora1.down.weight": (16, 3072), "double_blocks.0.processor.qkv_lora1.up.weight": (9216, 16)},
        "flux", "xlabs",
    ),
    "kohya's Anima": ({"lora_unet_blocks_0_cross_attn_k_proj.lora_down.weight": (8, 2048)}, "anima", "kohya"),
    "kohya's Anima with its text encoder": (
        {
            "lora_unet_blocks_0_cross_attn_q_proj.lora_down.weight": (8, 2048),
            "lora_te_layers_0_self_attn_q_proj.lora_down.weight": (8, 1024),
        },
        "anima", "kohya",
    ),
    "Anima as LoKr": ({"diffusion_model.blocks.0.cross_attn.k_proj.lokr_w1": (2048, 8)}, "anima", "lokr"),
    "kohya's Krea 2": ({"lora_unet_blocks_0_attn_wq.lora_down.weight": (32, 6144)}, "krea2", "kohya"),
    "kohya's Wan": ({"lora_unet_blocks_0_cross_attn_q.lora_down.weight": (32, 5120)}, "wan", "kohya"),
    "kohya's Qwen-Image": (
        {f"lora_unet_transformer_blocks_{n}_attn_to_q.lora_down.weight": (16, 3072) for n in range(60)}, "qwen_image", "kohya",
    ),
    "FLUX.1's double blocks": (
        {f"lora_transformer_transformer_blocks_{n}_attn_to_q.lora_down.weight": (16, 3072) for n in range(19)}, "flux", "kohya",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMED)
def test_as_trainers_name_them(case: str) -> None:
    shapes, family, flavour = NAMED[case]
    found = sniffed(shapes)
    assert (found.kind, found.family, found.variant) == ("lora", family, flavour)


def test_controlnets_of_xlabs_are_flux_s() -> None:
    """Their blocks have a modulation as Qwen-Image's have, and a first layer for the hint as Stable Diffusion 3's."""
    shapes: Shapes = {
        "controlnet_blocks.0.weight": (3072, 3072), "double_blocks.0.img_mod.lin.weight": (18432, 3072),
        "pos_embed_input.weight": (3072, 64), "input_hint_block.0.weight": (16, 3, 3, 3),
    }  # fmt: skip
    assert (sniffed(shapes).kind, sniffed(shapes).family) == ("controlnet", "flux")


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"redux_up.weight": (12288, 1152), "redux_down.weight": (4096, 12288)}, "FLUX.1 Redux"),
        ({"net.llm_adapter.blocks.0.cross_attn.k_proj.weight": (1024, 1024), "net.x_embedder.proj.1.weight": (2048, 68)}, ""),
    ],
)  # fmt: skip
def test_what_goes_with_a_transformer_is_named(shapes: Shapes, words: str) -> None:
    found = sniffed(shapes)
    if words:
        assert found.kind == "unknown" and words in (found.problem or "")
    else:  # an image model, though its denoiser is a video model's
        assert (found.kind, found.family, found.problem) == ("checkpoint", "anima", None)
