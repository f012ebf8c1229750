"""The tables of names against diffusers' own conversion at the published sizes, and against the modules they came from."""

from typing import Any

import pytest

from studio import compat
from studio.core.errors import ModelError
from studio.manager.conversion.component import pieces_of
from studio.manager.conversion.weights_file import Piece
from studio.manager.families.blueprints import config_of
from tests.models.original_names import flux_original, sd3_original
from tests.sweeps import one_in

compat.prepare()
import torch  # noqa: E402
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel  # noqa: E402
from diffusers.loaders.single_file_utils import (  # noqa: E402
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_sd3_transformer_checkpoint_to_diffusers,
)

FLUX = {"joint_attention_dim": 4096, "pooled_projection_dim": 768}
PUBLISHED: dict[str, tuple[type, dict[str, Any]]] = {
    "FLUX.1 dev": (FluxTransformer2DModel, FLUX | {"guidance_embeds": True}),
    "FLUX.1 schnell": (FluxTransformer2DModel, FLUX | {"guidance_embeds": False}),
    "SD 3 medium": (
        SD3Transformer2DModel,
        {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536, "pos_embed_max_size": 192},
    ),
    "SD 3.5 medium": (
        SD3Transformer2DModel,
        {
            "num_layers": 24,
            "num_attention_heads": 24,
            "caption_projection_dim": 1536,
            "pos_embed_max_size": 384,
            "dual_attention_layers": tuple(range(13)),
            "qk_norm": "rms_norm",
        },
    ),
    "SD 3.5 large": (
        SD3Transformer2DModel,
        {
            "num_layers": 38,
            "num_attention_heads": 38,
            "caption_projection_dim": 2432,
            "pos_embed_max_size": 192,
            "qk_norm": "rms_norm",
        },
    ),
}
ORIGINAL = {FluxTransformer2DModel: flux_original, SD3Transformer2DModel: sd3_original}
THEIRS = {
    FluxTransformer2DModel: convert_flux_transformer_checkpoint_to_diffusers,
    SD3Transformer2DModel: convert_sd3_transformer_checkpoint_to_diffusers,
}


def published(name: str) -> Any:
    """The model at its real size, without data."""
    cls, config = PUBLISHED[name]
    extra = {"sample_size": 128, "joint_attention_dim": 4096, "pooled_projection_dim": 2048, "in_channels": 16}
    extra |= {"patch_size": 2, "out_channels": 16, "attention_head_dim": 64}
    with torch.device("meta"):
        return cls(**(config if cls is FluxTransformer2DModel else extra | config))


@pytest.mark.parametrize("name", one_in(3, PUBLISHED))
def test_the_architecture_is_read_from_the_shapes_alone(name: str) -> None:
    module = published(name)
    shapes = {key: tuple(tensor.shape) for key, tensor in ORIGINAL[type(module)](module).items()}
    told = config_of(type(module).__name__, shapes)
    with torch.device("meta"):
        made = type(module).from_config(told)
    assert {k: t.shape for k, t in made.state_dict().items()} == {k: t.shape for k, t in module.state_dict().items()}
    assert told["num_attention_heads"] == module.config.num_attention_heads


@pytest.mark.parametrize("name", one_in(3, PUBLISHED))
def test_the_tables_name_every_tensor_as_diffusers_conversion_does(name: str) -> None:
    module = published(name)
    original = ORIGINAL[type(module)](module)
    pieces = pieces_of(type(module).__name__, {key: tuple(tensor.shape) for key, tensor in original.items()})
    theirs = THEIRS[type(module)](dict(original))
    assert {piece.name: piece.shape for piece in pieces} == {key: tuple(t.shape) for key, t in theirs.items()}


@pytest.mark.parametrize("name", ["FLUX.1 dev", "SD 3.5 medium"])
def test_the_numbers_come_out_as_they_went_in(name: str) -> None:
    torch.manual_seed(0)
    module = small(name)
    original = ORIGINAL[type(module)](module)
    pieces = pieces_of(type(module).__name__, {key: tuple(tensor.shape) for key, tensor in original.items()})
    made = {piece.name: built(piece, original) for piece in pieces}
    wanted = module.state_dict()
    assert made.keys() == wanted.keys()
    assert all(torch.equal(made[key], wanted[key]) for key in wanted)


def test_a_denoiser_that_is_cut_short_is_refused_in_a_sentence() -> None:
    shapes = {"img_in.weight": (3072, 64), "double_blocks.0.img_attn.norm.key_norm.scale": (128,)}
    with pytest.raises(ModelError, match=r"lacks the tensor final_layer\.linear\.weight"):
        config_of("FluxTransformer2DModel", shapes)


def small(name: str) -> Any:
    if name.startswith("FLUX"):
        return FluxTransformer2DModel(
            in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=128, num_attention_heads=1,
            joint_attention_dim=32, pooled_projection_dim=32, guidance_embeds=True,
        )  # fmt: skip
    return SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=3, attention_head_dim=64,
        num_attention_heads=1, joint_attention_dim=64, caption_projection_dim=64, pooled_projection_dim=64,
        pos_embed_max_size=16, dual_attention_layers=(0, 1), qk_norm="rms_norm",
    )  # fmt: skip


def built(piece: Piece, source: dict[str, Any]) -> Any:
    assert piece.source is not None
    tensor = source[piece.source][piece.start : piece.start + piece.shape[0]]
    return torch.cat(tensor.chunk(2)[::-1]) if piece.swapped else tensor
