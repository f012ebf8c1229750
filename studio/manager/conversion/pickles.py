"""Converts a pickle checkpoint to safetensors, when a person has said yes: in a process of its own, with weights only.

`python -m studio.manager.conversion.pickles SOURCE TARGET`, which only `convert_pickle` starts, reads with PyTorch's
restricted unpickler (`weights_only=True`); that builds tensors and plain containers and nothing else, and a pickle that
names anything more is refused by that name. Nothing of the file is read in the studio's own process.
"""

import os
import resource
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError, StorageError
from studio.manager.conversion.converted_folders import check_room
from studio.manager.disk.headers import PickleFile, read_header, zipped
from studio.manager.disk.safe_files import readable, shown, size_of

TIMEOUT = 1800  # seconds
MOST_BYTES = 64 << 30
SPARE = 4 << 30  # bytes of memory for PyTorch itself
REASON = "refused: "  # how the child's last line begins where it can still say why it failed
CONSENT = "Reading a pickle can run code that its author hid in it. Say --trust only if you trust where it came from."

MOST_DEPTH = 4
MOST_PICKLE = 256 << 20  # bytes of the part that lists the tensors, which lie beside it, not compressed
# Left in checkpoints by their trainers (CompVis, Lightning, early textual inversion), and of no use to anybody.
LEFTOVERS = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "torch.nn.modules.container.ParameterDict",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)


def convert_pickle(source: Path, *, consent: bool) -> Path:
    """`name.ckpt` -> `name.safetensors` beside it, the original untouched. Raises ModelError, StorageError."""
    if not consent:
        raise ModelError(CONSENT)
    name, size = readable(source.name), size_of(source)
    disguised = source.suffix.lower() in (".safetensors", ".sft")
    target = source.with_suffix(".converted.safetensors" if disguised else ".safetensors")
    if target.exists():
        raise StorageError(f"{readable(target.name)} is there already.")
    try:
        read_header(source)
    except PickleFile as error:
        if not zipped(source):
            raise ModelError(f"{name}: {error}") from None
    else:
        raise ModelError(f"{name} is no pickle; it can be used as it is.")
    if not os.access(source.parent, os.W_OK):
        raise StorageError(f"{name} cannot be converted where it lies: its folder may not be written to.")
    check_room(source, size, source.parent)
    unfinished = target.with_name(f".{os.getpid()}.partial")
    try:
        done = subprocess.run(
            [sys.executable, "-m", __name__, str(source.absolute()), str(unfinished.absolute())],
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            cwd=Path(__file__).resolve().parents[3],
            preexec_fn=partial(_limit_child, 3 * size + SPARE),
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        )
        if done.returncode != 0:
            _, said, why = done.stdout.rpartition(REASON)
            why = why.strip() if said else "the converter died, perhaps for want of memory."
            raise ModelError(f"{name} could not be converted: {why}")
        os.replace(unfinished, target)
    except subprocess.TimeoutExpired:
        raise ModelError(f"{name} could not be converted within {TIMEOUT // 60} minutes.") from None
    except OSError as error:
        raise StorageError(f"{readable(target.name)} could not be written: {error.strerror}.") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _limit_child(most: int) -> None:
    """No core dump of what it read, no file larger than a checkpoint, no more memory than one takes."""
    for limit, size in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, MOST_BYTES), (resource.RLIMIT_DATA, most)):
        resource.setrlimit(limit, (size, size))


# ---- the child -----------------------------------------------------------------------------------------------------


class Refused(Exception):
    """The reason, as the end of a sentence."""


class Inert:
    """Stands where a checkpoint names one of the leftovers: takes whatever it is given, and does nothing."""

    def __new__(cls, *arguments: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *arguments: Any):
        self.state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


def main(argv: list[str]) -> int:
    source, target = map(Path, argv)
    try:
        _convert(source, target)
        return 0
    except Refused as refused:
        why = str(refused)
    except MemoryError:
        why = "there is not enough memory to read it."
    except OSError as error:
        why = f"{error.strerror or 'it cannot be read'}."
    except Exception as error:  # whatever a hostile file makes the reader raise is a refusal, never a crash
        why = f"it is damaged or no checkpoint ({type(error).__name__})."
    print(REASON + shown(why, 300))
    return 1


def _convert(source: Path, target: Path) -> None:
    _check_archive(source)
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with torch.serialization.safe_globals([(Inert, name) for name in LEFTOVERS]):
        unsafe = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(source))
        if unsafe:
            raise Refused(f"it wants to call {', '.join(unsafe[:3])[:200]}, which weights have no need of.")
        with source.open("rb") as file:  # not by its name, which PyTorch would believe
            held = torch.load(file, map_location="cpu", weights_only=True)
    tensors = _tensors(held)
    if not tensors:
        raise Refused("there are no tensors in it.")
    try:
        save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, target, {"format": "pt"})
    except SafetensorError as error:
        raise Refused(f"it could not be written: {str(error)[:120]}.") from None


def _check_archive(source: Path) -> None:
    """Refuse what is not to be unpacked, from its table of contents alone."""
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
    pickles = [entry.file_size for entry in entries if entry.filename.endswith("data.pkl")]
    if not pickles:
        raise Refused("it is an archive, but not one of PyTorch's.")
    if (
        max(pickles) > MOST_PICKLE
        or sum(entry.file_size for entry in entries) > 4 * source.stat().st_size + MOST_PICKLE
    ):
        raise Refused("it unpacks to far more than it holds.")


def _tensors(held: Any, depth: int = 0) -> dict[str, Any]:
    """The state dict, wherever a trainer has put it: at the top, or under "state_dict" or the like."""
    import torch

    if isinstance(held, Inert) and isinstance(held.state, dict):  # a ParameterDict
        held = held.state.get("_parameters")
    if not isinstance(held, dict) or depth > MOST_DEPTH:
        return {}
    found = {str(key): value for key, value in held.items() if isinstance(value, torch.Tensor)}
    if found:
        return found
    for name in ("state_dict", "params_ema", "params", "model", "module", "ema"):
        if inner := _tensors(held.get(name), depth + 1):
            return inner
    embedding = list(_tensors(held.get("string_to_param"), depth + 1).values())
    return {"emb_params": embedding[0]} if len(embedding) == 1 else {}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
