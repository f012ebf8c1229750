"""The child that reads a pickle: `python -m studio.manager.conversion.unpickle SOURCE TARGET`. Prints one JSON object.

Only ever started by `pickles`. It reads with weights_only=True, keeps the tensors, and writes safetensors.
"""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

MOST_DEPTH = 4
MOST_ENTRIES = 200_000
MOST_PICKLE = 256 << 20  # of the part that lists the tensors; the tensors themselves lie beside it
MOST_GROWTH = 4  # honest files are not compressed at all
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
        return _convert(source, target)
    except MemoryError:
        return _say(reason="there is not enough memory to read it.")
    except OSError as error:
        return _say(reason=f"{error.strerror or 'it cannot be read'}.")
    except Exception as error:  # whatever a hostile file makes the reader raise is a refusal, never a crash
        return _say(reason=f"it is damaged or no checkpoint ({type(error).__name__}).")


def _convert(source: Path, target: Path) -> int:
    bloated = _bloated(source)
    if bloated:
        return _say(reason=bloated)
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with torch.serialization.safe_globals([(Inert, name) for name in LEFTOVERS]):
        unsafe = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(source))
        if unsafe:
            return _say(reason=f"it wants to call {', '.join(unsafe[:3])[:200]}, which weights have no need of.")
        with source.open("rb") as file:  # not by its name, which PyTorch would believe
            held = torch.load(file, map_location="cpu", weights_only=True)
    tensors = _tensors(held)
    if not tensors:
        return _say(reason="there are no tensors in it.")
    try:
        save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, target, {"format": "pt"})
    except SafetensorError as error:
        return _say(reason=f"it could not be written: {str(error)[:120]}.")
    print(json.dumps({"tensors": len(tensors)}))
    return 0


def _bloated(source: Path) -> str | None:
    """Why the archive is not to be unpacked, from its table of contents alone."""
    with zipfile.ZipFile(source) as archive:
        entries = archive.infolist()
    pickles = [entry.file_size for entry in entries if entry.filename.endswith("data.pkl")]
    if not pickles:
        return "it is an archive, but not one of PyTorch's."
    whole = sum(entry.file_size for entry in entries)
    if (
        len(entries) > MOST_ENTRIES
        or max(pickles) > MOST_PICKLE
        or whole > MOST_GROWTH * source.stat().st_size + MOST_PICKLE
    ):
        return "it unpacks to far more than it holds."
    return None


def _say(reason: str) -> int:
    print(json.dumps({"reason": reason}))
    return 1


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
