"""Finds the CLIP image encoder that an IP-Adapter reads its picture with: a folder as transformers saves one.

Says which of those in the models folders an adapter was trained with, by the width that its file's projection takes. No torch.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from studio.core.errors import ModelError
from studio.manager.disk.folder_parts import check_sizes, weight_files
from studio.manager.disk.headers import Header, read_header
from studio.manager.disk.safe_files import json_or_nothing

CLASS = "CLIPVisionModelWithProjection"
PUBLISHED = {  # (what it is the width of, the width) -> where h94/IP-Adapter has that encoder
    ("projection_dim", 1024): "models/image_encoder",
    ("hidden_size", 1280): "models/image_encoder",
    ("projection_dim", 1280): "sdxl_models/image_encoder",
    ("hidden_size", 1664): "sdxl_models/image_encoder",
}
FACES = "It is for faces (FaceID): it takes embeddings of InsightFace, which is not supported."


class Encoder(NamedTuple):
    """The encoder's folder, and whether the adapter reads its last but one layer instead of the projected embedding."""

    folder: Path
    hidden: bool


class Width(NamedTuple):
    key: str  # of the encoder's configuration
    size: int

    @property
    def hidden(self) -> bool:
        return self.key == "hidden_size"


def width_of(header: Header) -> Width:
    """What the adapter's projection takes. Raises ModelError for layouts that are not known."""
    shapes = {key.removeprefix("image_proj."): tensor.shape for key, tensor in header.tensors.items()}
    # (a tensor that the layout has, the one that reads the encoder's numbers, what these are): plain, full face, plus
    for known, reads, key in (
        ("proj.weight", "proj.weight", "projection_dim"),
        ("proj.3.weight", "proj.0.weight", "hidden_size"),
        ("latents", "proj_in.weight", "hidden_size"),
    ):
        if known in shapes and len(shapes.get(reads, ())) == 2:
            return Width(key, shapes[reads][1])
    faces = "norm.weight" in shapes or any(key.startswith("perceiver_resampler.") for key in shapes)
    raise ModelError(FACES if faces else "Its layout is not one of the published IP-Adapters'.")


def find(file: Path, files: Iterable[Path]) -> Encoder | None:
    """The encoder for the adapter in `file`, of those among `files`, the nearest first; None if there is none that fits.
    Raises ModelError for an adapter that takes no picture."""
    width = width_of(read_header(file))
    folders = {path.parent for path in files if path.suffix == ".safetensors"}
    beside = [place / "image_encoder" for place in file.parents[:3]]
    fitting = [folder for folder in (*beside, *sorted(folders)) if config_of(folder).get(width.key) == width.size]
    nearest = max(fitting, key=lambda folder: len(os.path.commonpath([folder, file])), default=None)
    return Encoder(nearest, width.hidden) if nearest else None


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration of a CLIP image encoder's folder; empty for any other."""
    config = json_or_nothing(folder / "config.json")
    if CLASS not in (config.get("architectures") or ()) or not weight_files(folder)[0]:
        return {}
    try:
        check_sizes("image_encoder", config)
    except ModelError:
        return {}
    return config


def problem(file: Path, files: Iterable[Path]) -> str | None:
    """Why an adapter cannot be used, in a sentence that says what to fetch and where to put it; None: it can."""
    try:
        if find(file, files):
            return None
        width = width_of(read_header(file))
    except ModelError as error:
        return str(error)
    what = "embeddings" if width.key == "projection_dim" else "layers"
    source = PUBLISHED.get((width.key, width.size))
    fetch = f"that of h94/IP-Adapter ({source})" if source else "the one that it was trained with"
    return (
        f"It needs a CLIP image encoder whose {what} are {width.size} wide, and none is here: put {fetch}, "
        "config.json and model.safetensors, into a folder image_encoder beside it or in the models folder."
    )
