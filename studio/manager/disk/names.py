"""What a model is called where its path is a program's own, and which files make one model. Knows paths, no weights.

models--org--name/snapshots/<revision>/model_index.json   huggingface_hub's cache: "name"
name/diffusion_pytorch_model.safetensors                   a file that a library named: "name"
name-00001-of-00003.safetensors                            one of several files: "name"
"""

import re
from pathlib import Path

REPOSITORY = "models--"
OTHER_REPOSITORIES = ("datasets--", "spaces--", "kernels--")
SNAPSHOTS = "snapshots"
SHOWN_REVISION = 7  # letters, as git shows them
LIBRARY_NAMES = re.compile(
    r"(diffusion_pytorch_model|pytorch_model|pytorch_lora_weights|adapter_model|model|learned_embeds)"
    r"(\.(fp16|bf16|fp32))?(-\d{5}-of-\d{5})?"
)
PARTS = re.compile(r"(unet|vae|transformer|text_encoder|image_encoder|controlnet|lora|prior|decoder)(_\d)?")
# Folders that programs sort models into, by which no model is called.
SORTED = frozenset({
    "checkpoints", "stable-diffusion", "main", "lora", "loras", "vae", "controlnet", "controlnets", "embeddings", "embedding",
    "unet", "diffusion_models", "diffusers", "text_encoders", "clip", "clip_vision", "upscale_models", "esrgan", "ipadapter",
    "ip_adapter", "t2i_adapter", "style_models", "models",
})  # fmt: skip
MAX_REF = 200  # bytes
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
MAX_SHARDS = 200


def folder_name(folder: Path) -> str:
    """The name of a model's folder; a repository's in the hub's cache, with the revision unless it is the main one."""
    if not _is_snapshot(folder):
        return folder.name
    name = folder.parent.parent.name.removeprefix(REPOSITORY).rpartition("--")[2]
    return name if _is_main(folder) else f"{name} ({folder.name[:SHOWN_REVISION]})"


def file_name(file: Path, depth: int) -> str:
    """The name of a weights file, without its suffix; that of its folder, of which there are `depth` below the root, where
    a library named the file, and a person, not a program, the folder."""
    folder = file.parent
    if not depth or not LIBRARY_NAMES.fullmatch(file.stem):
        shard = SHARD.fullmatch(file.stem)
        return shard[1] if shard else file.stem
    if depth > 1 and PARTS.fullmatch(folder.name):
        return f"{folder_name(folder.parent)} {folder.name}"
    return file.stem if folder.name.lower() in SORTED else folder_name(folder)


def shards_of(file: Path) -> tuple[Path, ...]:
    """All files of the model that this one belongs to, in order; most models are one file."""
    shard = SHARD.fullmatch(file.stem)
    if shard is None or not 1 < int(shard[3]) <= MAX_SHARDS:
        return (file,)
    numbers = range(1, int(shard[3]) + 1)
    return tuple(file.with_name(f"{shard[1]}-{number:05d}-of-{shard[3]}{file.suffix}") for number in numbers)


def is_old(path: Path) -> bool:
    """Whether the path lies in a revision of a cached repository that is not its main one."""
    snapshot = next((folder for folder in (path, *path.parents) if _is_snapshot(folder)), None)
    return snapshot is not None and not _is_main(snapshot)


def _is_snapshot(folder: Path) -> bool:
    return folder.parent.name == SNAPSHOTS and folder.parent.parent.name.startswith(REPOSITORY)


def _is_main(snapshot: Path) -> bool:
    """What the main branch names, or the only one there is."""
    try:
        with (snapshot.parent.parent / "refs" / "main").open("rb") as file:
            if file.read(MAX_REF).decode("ascii", "replace").strip() == snapshot.name:
                return True
    except OSError:
        pass  # downloaded by its revision: there is no branch
    try:
        return len([path for path in snapshot.parent.iterdir() if path.is_dir()]) == 1
    except OSError:
        return True
