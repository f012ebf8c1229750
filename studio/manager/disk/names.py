"""What a model is called where its path is a program's own: the hub's cache, InvokeAI's folders, files named by a library.

    models--org--name/snapshots/<revision>/model_index.json   huggingface_hub's cache, which SD.Next keeps too: "name"
    <uuid>/model_index.json                                    InvokeAI, of late: by the folder's own record, if it has one
    name/diffusion_pytorch_model.safetensors                   a file that a library named: "name"

Knows paths, and the two small files that tell these names. Not what is in the weights.
"""

import re
from pathlib import Path

from studio.core.errors import ModelError
from studio.manager.disk.folder_parts import read_json

REPOSITORY = "models--"
OTHER_REPOSITORIES = ("datasets--", "spaces--", "kernels--")
SNAPSHOTS = "snapshots"
SHOWN_REVISION = 7  # letters, as git shows them
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LIBRARY_NAMES = re.compile(
    r"(diffusion_pytorch_model|pytorch_model|pytorch_lora_weights|adapter_model|model|learned_embeds)"
    r"(\.(fp16|bf16|fp32))?(-\d{5}-of-\d{5})?"
)
PARTS = re.compile(r"(unet|vae|transformer|text_encoder|image_encoder|controlnet|lora|prior|decoder)(_\d)?")
# Folders that programs sort models into, by which no model is called.
SHELVES = frozenset({
    "checkpoints", "stable-diffusion", "main", "lora", "loras", "vae", "controlnet", "controlnets", "embeddings", "embedding",
    "unet", "diffusion_models", "diffusers", "text_encoders", "clip", "clip_vision", "upscale_models", "esrgan", "ipadapter",
    "ip_adapter", "t2i_adapter", "style_models", "models",
})  # fmt: skip
MOST_REF = 200  # bytes
SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})")
MOST_PARTS = 200


def folder_name(folder: Path) -> str:
    """The name of a model's folder."""
    if folder.parent.name == SNAPSHOTS and folder.parent.parent.name.startswith(REPOSITORY):
        return _repository(folder)
    if UUID.fullmatch(folder.name):
        return _recorded(folder) or folder.name
    return folder.name


def file_name(file: Path, depth: int) -> str:
    """The name of a weights file, without its suffix; that of its folder, of which there are `depth` below the root, where
    a library named the file, and a person, not a program, the folder."""
    folder = file.parent
    if not depth or not LIBRARY_NAMES.fullmatch(file.stem):
        shard = SHARD.fullmatch(file.stem)
        return shard[1] if shard else file.stem
    if depth > 1 and PARTS.fullmatch(folder.name):
        return f"{folder_name(folder.parent)} {folder.name}"
    return file.stem if folder.name.lower() in SHELVES else folder_name(folder)


def parts_of(file: Path) -> tuple[Path, ...]:
    """The files that a model lies in of which this is one, in order; most lie in one."""
    shard = SHARD.fullmatch(file.stem)
    if shard is None or not 1 < int(shard[3]) <= MOST_PARTS:
        return (file,)
    numbers = range(1, int(shard[3]) + 1)
    return tuple(file.with_name(f"{shard[1]}-{number:05d}-of-{shard[3]}{file.suffix}") for number in numbers)


def is_old(path: Path) -> bool:
    """Whether the path lies in a revision of a cached repository that is not its main one."""
    snapshot = next((p for p in (path, *path.parents) if p.parent.name == SNAPSHOTS), None)
    return snapshot is not None and snapshot.parent.parent.name.startswith(REPOSITORY) and not _is_main(snapshot)


def _repository(snapshot: Path) -> str:
    """The repository's name; with the revision where there are several and this is not what its main branch names."""
    name = snapshot.parent.parent.name.removeprefix(REPOSITORY).rpartition("--")[2]
    return name if _is_main(snapshot) else f"{name} ({snapshot.name[:SHOWN_REVISION]})"


def _is_main(snapshot: Path) -> bool:
    """What the main branch names, or the only one there is."""
    try:
        with (snapshot.parent.parent / "refs" / "main").open("rb") as file:
            if file.read(MOST_REF).decode("ascii", "replace").strip() == snapshot.name:
                return True
    except OSError:
        pass  # downloaded by its revision: there is no branch
    try:
        return len([path for path in snapshot.parent.iterdir() if path.is_dir()]) == 1
    except OSError:
        return True


def _recorded(folder: Path) -> str | None:
    """The repository that a diffusers folder says it came from."""
    try:
        told = read_json(folder / "model_index.json").get("_name_or_path")
    except ModelError:
        return None
    return told.partition("/")[2] if isinstance(told, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", told) else None
