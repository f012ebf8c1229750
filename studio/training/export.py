"""Write trained models as diffusers does, so that `from_pretrained` reads them with nothing of ours.

Refuses to know how they were trained.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch

from studio.training.backbones import Backbone


def stock_pipeline(backbone: Backbone, model: Any, vae: Any, text_encoder: Any, tokenizer: Any, scheduler: Any) -> Any:
    """The backbone's pipeline of diffusers, silent."""
    pipeline = backbone.pipeline(model, vae, text_encoder, tokenizer, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def file_hash(folder: Path) -> str:
    """A hash of the weights in a model folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def to_half(pipeline: Any) -> Any:
    """The pipeline with weights in fp16, as they are shipped."""
    return pipeline.to(dtype=torch.float16)
