"""A hub cache as huggingface_hub lays it out, made with its own functions: blobs, refs, and snapshots of links."""

import hashlib
import os
import shutil
from pathlib import Path

from huggingface_hub.file_download import _create_symlink, repo_folder_name

ONE, TWO = "a" * 40, "0123456789abcdef0123456789abcdef01234567"


def cached(cache: Path, repo: str, revision: str, files: Path, *, main: bool = True, shared: bool = False) -> Path:
    """The snapshot of a repository that consists of the folder `files`; blobs in the cache's common store if `shared`."""
    storage = cache / repo_folder_name(repo_id=repo, repo_type="model")
    snapshot = storage / "snapshots" / revision
    for file in sorted(path for path in files.rglob("*") if path.is_file()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        blob, pointer = storage / "blobs" / digest, snapshot / file.relative_to(files)
        for folder in (blob.parent, pointer.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if not blob.exists():
            store = cache / "blobs" / digest[:2] / digest if shared else blob
            store.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, store)
            if shared:
                blob.symlink_to(os.path.relpath(store, blob.parent))
        _create_symlink(str(blob), str(pointer))
    (storage / "refs").mkdir(exist_ok=True)
    if main:
        (storage / "refs" / "main").write_text(revision)
    absent = storage / ".no_exist" / revision / "unet/diffusion_pytorch_model.bin"
    absent.parent.mkdir(parents=True, exist_ok=True)
    absent.touch()
    return snapshot
