"""A models folder as people have them after years: true files, broken ones, strange names, links, pipes. Small on disk."""

import json
import os
import pickle
import shutil
import socket
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.models.sparse_headers import CASES, unet, write_sparse, xl

CHECKPOINT = CASES["SD 1.5"][1]


def good(path: Path) -> None:
    write_sparse(path, CHECKPOINT)


def raw(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def header(path: Path, table: object, data: bytes = b"") -> None:
    text = table if isinstance(table, bytes) else json.dumps(table).encode()
    raw(path, struct.pack("<Q", len(text)) + text + data)


class Evil:
    """Unpickling it makes a canary in the folder of the process."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("canary",)


def zipped_pickle(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps({"state_dict": Evil()}, protocol=2))
        file.writestr("archive/version", "3\n")


def deep(levels: int) -> bytes:
    return b'{"a":' + b"[" * levels + b"]" * levels + b"}"


# path -> (how to make it, words of the reason that must be given; None where the file is sound)
FILES: dict[str, tuple[Callable[[Path], object], str | None]] = {
    "Stable-diffusion/sound.safetensors": (good, None),
    "Stable-diffusion/really a lora.safetensors": (lambda p: write_sparse(p, CASES["kohya LoRA"][1]), None),
    "Stable-diffusion/empty.safetensors": (lambda p: raw(p, b""), "is empty"),
    "Stable-diffusion/page.safetensors": (lambda p: raw(p, b"<!doctype html>\n<html>..."), "web page"),
    "Stable-diffusion/pointer.safetensors": (lambda p: raw(p, b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 4265380512\n"), "git lfs pull"),
    "Stable-diffusion/zeros.safetensors": (lambda p: raw(p, b"\0" * 4096), "nothing but zeros"),
    "Stable-diffusion/lying length.safetensors": (lambda p: raw(p, struct.pack("<Q", 2**63) + b"{}" * 20), "claims 9,223,372,036,854,775,808 bytes"),
    "Stable-diffusion/deep.safetensors": (lambda p: header(p, deep(200)), "wrong at 'a'"),
    "Stable-diffusion/deeper.safetensors": (lambda p: header(p, deep(100_000)), "not valid JSON"),
    "Stable-diffusion/twice.safetensors": (lambda p: header(p, b'{"a":1,"a":2}'), "wrong at 'a'"),
    "Stable-diffusion/nul.safetensors": (lambda p: header(p, b'{"\\u0000":1,"\0":2}'), "not valid JSON"),
    "Stable-diffusion/dtype.safetensors": (lambda p: header(p, {"w": {"dtype": "Q9", "shape": [1], "data_offsets": [0, 1]}}, b"\0"), "dtype Q9 is not known"),
    "Stable-diffusion/unet only.safetensors": (lambda p: write_sparse(p, xl()), "lacks its VAE"),
    "Stable-diffusion/pickle.ckpt": (zipped_pickle, "can run code"),
    "Stable-diffusion/pickle in disguise.safetensors": (zipped_pickle, "can run code"),
    "Stable-diffusion/honest in disguise.ckpt": (good, None),
    "embeddings/old.pt": (lambda p: raw(p, pickle.dumps(Evil(), protocol=2)), "in the old format"),
    "Lora/a" + "b" * 230 + ".safetensors": (lambda p: write_sparse(p, CASES["LoHa"][1]), None),
    "same/same.safetensors": (good, None),
    "same/same.sft": (good, None),
    "other/same/same.safetensors": (good, None),
    "names/two\nlines.safetensors": (good, None),
    "names/\x1b[31mred.safetensors": (good, None),
    "names/\U0001f469\u200d\U0001f3a8 \u65e5\u672c\u8a9e.safetensors": (good, None),
    "names/\u202egnp.safetensors": (good, None),
    "names/\u05e9\u05dc\u05d5\u05dd.safetensors": (good, None),
    "names/<img src=x onerror=alert(1)>.safetensors": (good, None),
    "names/\udcff\udcfe.safetensors": (good, "rename it"),
    "ESRGAN/4x.safetensors": (lambda p: write_sparse(p, CASES["ESRGAN"][1]), None),
    "a folder.safetensors/inside.safetensors": (good, None),
    "checkpoints/dangling.safetensors": (lambda p: link(p, "nowhere.safetensors"), "link"),
    "checkpoints/round.safetensors": (lambda p: link(p, "round.safetensors"), "cannot be read"),
    "checkpoints/pipe.safetensors": (lambda p: (p.parent.mkdir(parents=True, exist_ok=True), os.mkfifo(p)), "not a file"),
    "checkpoints/device.safetensors": (lambda p: link(p, "/dev/zero"), "not a file"),
    "checkpoints/socket.safetensors": (lambda p: bind(p), "not a file"),
    "checkpoints/forbidden.safetensors": (lambda p: (good(p), p.chmod(0)), "Permission denied"),
    "checkpoints/with a piped card.safetensors": (lambda p: (good(p), os.mkfifo(p.with_suffix(".unnoise.json"))), "with a piped card.unnoise.json is not a file"),
    "checkpoints/with an odd card.safetensors": (lambda p: (good(p), p.with_suffix(".unnoise.json").write_text('{"title": "\\ud800"}')), "not valid JSON"),
}  # fmt: skip


class Counted:
    """An open file that notes how many bytes are read of it."""

    def __init__(self, file: Any, counts: list[int]):
        self._file, self._counts = file, counts

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._file.read(size)
        self._counts.append(len(data))
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all reads that `safe_files.open_file` leads to from now on."""
    counts: list[int] = []
    opened = os.fdopen
    monkeypatch.setattr(os, "fdopen", lambda *arguments, **options: Counted(opened(*arguments, **options), counts))
    return counts


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def bind(path: Path) -> None:
    """A socket's file; its path may be longer than a socket's address, so it is bound by its name alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(here)


def make_messy(folder: Path) -> dict[str, str | None]:
    """Everything above below `folder`, with rings of links and forbidden folders between; path -> reason or None."""
    for name, (make, _) in FILES.items():
        make(folder / name)
    (folder / "ring/a").mkdir(parents=True)
    (folder / "ring/b").mkdir()
    for one, other in (("a", "b"), ("b", "a"), ("a", "."), ("b", "..")):
        (folder / "ring" / one / f"to {other.strip('.') or len(other)}").symlink_to(folder / "ring" / other)
    good(folder / "forbidden/inside.safetensors")
    (folder / "forbidden").chmod(0)
    good(folder / "listed only/inside.safetensors")
    (folder / "listed only").chmod(0o444)
    return {name: reason for name, (_, reason) in FILES.items()} | {
        "listed only/inside.safetensors": "Permission denied"
    }


def unmake(folder: Path) -> None:
    """Let the folder be removed again."""
    for name in ("forbidden", "listed only"):
        (folder / name).chmod(0o755)
    shutil.rmtree(folder)


__all__ = ["FILES", "Evil", "count_reads", "make_messy", "unet", "unmake", "zipped_pickle"]
