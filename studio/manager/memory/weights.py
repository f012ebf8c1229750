"""Weights files: read into tensors, and refused where they do not fit their module or hold numbers that are no numbers.

Tensors are mapped where they can stay as they are, else copied one by one: what is cast, or laid out anew, is read into
memory of its own rather than through a mapping, whose touched pages would count beside the copy for as long as the file
stays mapped. Does not depend on components or on a budget.
"""

import math
import os
from io import BufferedReader
from pathlib import Path

import torch
from safetensors.torch import load_file

from studio.core.errors import ModelError
from studio.manager.disk.headers import Tensor, read_header
from studio.manager.disk.safe_files import shown

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
CHUNK = 8 << 20
MORE = 3  # times what the files hold that a configuration may ask for: a table that two parts share is written once
LARGE = "too large"  # for the dtype, and for no other reason


def changed_in_place(path: Path, before: os.stat_result) -> bool:
    """Whether a file that was mapped has been written over or cut short since.

    Its pages change under the model then, or are no longer there, and touching them kills the process (SIGBUS). A file that
    was deleted, or replaced by another of its name, does no harm.
    """
    try:
        now = path.stat()
    except OSError:
        return False
    changed = (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
    return changed and os.path.samestat(now, before)


# -- reading


def _read(opened: BufferedReader, offset: int, size: int, scratch: torch.Tensor) -> torch.Tensor:
    """Bytes of the file, in `scratch` until the next are read."""
    opened.seek(offset)
    if opened.readinto(scratch.numpy()[:size].data) < size:
        raise ModelError("The file ends early.")
    return scratch[:size]


def read_weights(
    files: tuple[Path, ...], dtype: torch.dtype, device: torch.device, channels_last: bool
) -> dict[str, torch.Tensor]:
    """Every tensor of the files on `device`; floating ones in `dtype`, 4-dimensional ones channels last where asked for.

    Raises ModelError and OSError.
    """

    def changes(entry: Tensor) -> bool:
        other = DTYPES.get(entry.dtype, dtype) != dtype or (channels_last and len(entry.shape) == 4)
        return device.type == "cpu" and entry.dtype in DTYPES and other

    out: dict[str, torch.Tensor] = {}
    for file in files:
        found = read_header(file).tensors
        with file.open("rb") as opened:
            copied = {name: entry for name, entry in found.items() if changes(entry)}
            mapped = load_file(file, str(device)) if len(copied) < len(found) else {}
            # One for all: small holes between the copies would never go back to the system.
            scratch = torch.empty(max((entry.bytes for entry in copied.values()), default=0), dtype=torch.uint8)
            for name, entry in found.items():
                if name in copied:
                    data = _read(opened, entry.offset, entry.bytes, scratch)
                tensor = data.view(DTYPES[entry.dtype]).view(entry.shape) if name in copied else mapped[name]
                # `to`, as modules do it: `contiguous` leaves a 1x1 kernel's strides as they are, and another kernel would run.
                layout = torch.channels_last if channels_last and tensor.ndim == 4 else torch.preserve_format
                own = dtype if tensor.is_floating_point() else None
                out[name] = tensor.to(own, memory_format=layout, copy=name in copied)
    return out


# -- checking, from headers alone


def check_fit(title: str, module: torch.nn.Module, files: tuple[Path, ...]) -> None:
    """Refuse files whose tensors are not those of `module`, which is shapes without data, before anything is allocated.

    Raises ModelError with the first tensor that differs, or with the sizes.
    """
    there = {key: tensor.shape for file in files for key, tensor in read_header(file).tensors.items()}
    for key, tensor in module.state_dict().items():
        if key in there and there[key] != tuple(tensor.shape):
            found, wanted = ("x".join(map(str, shape)) or "one number" for shape in (there[key], tensor.shape))
            raise ModelError(
                f"Its {title} does not fit its configuration: {shown(key)} is {found} in the file, "
                f"and {wanted} by the configuration."
            )
    held = sum(math.prod(shape) for shape in there.values())
    described = sum(parameter.numel() for parameter in module.parameters())
    if described > MORE * held:
        raise ModelError(
            f"Its {title} does not fit its configuration, which describes {described:,} numbers where the files hold "
            f"{held:,}."
        )


def check_complete(title: str, module: torch.nn.Module, files: tuple[Path, ...]) -> None:
    """Refuse files that lack a tensor of the module under the module's own name for it. Raises ModelError."""
    there = {key for file in files for key in read_header(file).tensors}
    missing = sorted(module.state_dict().keys() - there)
    if missing:
        raise ModelError(f"Its {title} lacks {len(missing)} of its tensors, such as {missing[0]}.")


# -- checking the numbers


def first_unsound(files: tuple[Path, ...], dtype: torch.dtype) -> tuple[str, str] | None:
    """(tensor, what is wrong with it) of the first that cannot be used in `dtype`; None if all can. Raises ModelError.

    Weights that hold NaN load without a word and paint black. A pass of minimum and maximum finds NaN, infinity and what the
    dtype cannot hold; 2 GB take about a fifth of a second beyond reading them. A few megabytes are held at a time.
    """
    limit, scratch = torch.finfo(dtype).max, torch.empty(CHUNK, dtype=torch.uint8)
    worst: tuple[str, str] | None = None
    for file in files:
        try:
            tensors = {name: each for name, each in read_header(file).tensors.items() if each.dtype in DTYPES}
            with file.open("rb") as opened:
                for name, entry in tensors.items():
                    largest = torch.zeros((), dtype=DTYPES[entry.dtype])
                    for done in range(0, entry.bytes, CHUNK):
                        piece = _read(opened, entry.offset + done, min(entry.bytes - done, CHUNK), scratch)
                        low, high = torch.aminmax(piece.view(largest.dtype))
                        largest = torch.maximum(largest, torch.maximum(-low, high))  # both keep NaN
                    if not math.isfinite(largest):
                        return name, "NaN" if math.isnan(largest) else "infinity"
                    if largest > limit and worst is None:
                        worst = name, LARGE
        except OSError as error:
            raise ModelError(f"{file.parent.name}/{file.name} cannot be read: {error.strerror}.") from None
    return worst
