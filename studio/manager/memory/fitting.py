"""Whether weights are those of the network that a configuration describes, told by their headers before anything is read.

The libraries find out while they allocate; a configuration that is absurd in a way that no bound foresaw would cost
seconds and gigabytes. Refuses to know what the weights hold (`soundness` does).
"""

import math
from pathlib import Path

import torch

from studio.core.errors import ModelError
from studio.manager.disk.headers import read_header, shown

# By how much a configuration may ask for more than the files hold: a table that two parts share is written once.
MORE = 3


def check_fit(part: str, module: torch.nn.Module, files: tuple[Path, ...]) -> None:
    """`module` as shapes without data. Raises ModelError with the first tensor that differs, or with the sizes."""
    there = {key: tensor.shape for file in files for key, tensor in read_header(file).tensors.items()}
    part = part.replace("_", " ")
    for key, tensor in module.state_dict().items():
        if key in there and there[key] != tuple(tensor.shape):
            raise ModelError(
                f"Its {part} does not fit its configuration: {shown(key)} is {_by(there[key])} in the file, "
                f"and {_by(tuple(tensor.shape))} by the configuration."
            )
    held = sum(math.prod(shape) for shape in there.values())
    wanted = sum(parameter.numel() for parameter in module.parameters())
    if wanted > MORE * held:
        raise ModelError(
            f"Its {part} does not fit its configuration, which describes {wanted:,} numbers where the files hold {held:,}."
        )


def check_complete(part: str, module: torch.nn.Module, files: tuple[Path, ...]) -> None:
    """Refuse files that lack a tensor of the module under the module's own name for it. Raises ModelError."""
    there = {key for file in files for key in read_header(file).tensors}
    missing = sorted(module.state_dict().keys() - there)
    if missing:
        raise ModelError(f"Its {part.replace('_', ' ')} lacks {len(missing)} of its tensors, such as {missing[0]}.")


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"
