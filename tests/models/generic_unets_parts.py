"""What the builders of `generic_unets` and `generic_priors` share."""

import json
from pathlib import Path
from typing import Any

from tests.models.tiny_text import WORDS

WIDTH = 32  # of every text encoder here


def saved(pipeline: Any, folder: Path, *, size: int | None = None) -> Path:
    """In its real layout; `size` where no configuration tells one, so that tests do not make the full size."""
    pipeline.save_pretrained(folder, safe_serialization=True)
    index = json.loads((folder / "model_index.json").read_text())
    for name, value in index.items():
        place = type(getattr(pipeline, name, None)).__module__.split(".")
        if isinstance(value, list) and place[:3] == ["diffusers", "pipelines", "deprecated"]:
            index[name] = [place[3], value[1]]  # as it was published, before these were set aside
    (folder / "model_index.json").write_text(json.dumps(index))
    if size is not None:
        (folder / "unnoise.json").write_text(json.dumps({"defaults": {"width": size, "height": size}}))
    return folder


def ddim(**config: Any) -> Any:
    from diffusers import DDIMScheduler

    return DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, **config)


def roberta_tokenizer(max_length: int = 24) -> Any:
    from transformers import XLMRobertaTokenizer

    letters = [(chr(c), -8.0) for c in range(ord("a"), ord("z") + 1)]
    words = [("▁" + word, -1.0) for word in WORDS]
    marks = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return XLMRobertaTokenizer(vocab=marks + words + letters + [("<mask>", 0.0)], model_max_length=max_length)


def movq(levels: int = 2, norm_type: str = "spatial") -> Any:
    from diffusers import VQModel

    return VQModel(
        block_out_channels=[32] * levels, down_block_types=["DownEncoderBlock2D"] * (levels - 1) + ["AttnDownEncoderBlock2D"],
        up_block_types=["AttnUpDecoderBlock2D"] + ["UpDecoderBlock2D"] * (levels - 1), latent_channels=4, layers_per_block=1,
        norm_num_groups=8, norm_type=norm_type, num_vq_embeddings=12, vq_embed_dim=4,
    ).eval()  # fmt: skip
