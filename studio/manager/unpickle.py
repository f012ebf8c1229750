"""The child that reads a pickle: `python -m studio.manager.unpickle SOURCE TARGET`. Prints one JSON object.

Only ever started by `pickles`. It reads with weights_only=True, keeps the tensors, and writes safetensors.
"""

import json
import sys
from pathlib import Path
from typing import Any

MOST_DEPTH = 4


def main(argv: list[str]) -> int:
    import torch

    source, target = map(Path, argv)
    unsafe = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(source))
    if unsafe:
        return _say(reason=f"it wants to call {', '.join(unsafe[:3])}, which no model needs.")
    try:
        held = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # whatever a hostile file makes the reader raise is a refusal, never a crash
        return _say(reason=f"{type(error).__name__} while reading it.")
    tensors = _tensors(held)
    if not tensors:
        return _say(reason="there are no tensors in it.")
    from safetensors.torch import save_file

    save_file({key: tensor.contiguous().clone() for key, tensor in tensors.items()}, target, {"format": "pt"})
    print(json.dumps({"tensors": len(tensors)}))
    return 0


def _say(reason: str) -> int:
    print(json.dumps({"reason": reason}))
    return 1


def _tensors(held: Any, depth: int = 0) -> dict[str, Any]:
    """The state dict, wherever a trainer has put it: at the top, or under "state_dict" or the like."""
    import torch

    if not isinstance(held, dict) or depth > MOST_DEPTH:
        return {}
    found = {str(key): value for key, value in held.items() if isinstance(value, torch.Tensor)}
    if found:
        return found
    for name in ("state_dict", "params_ema", "params", "model", "string_to_param"):
        if inner := _tensors(held.get(name), depth + 1):
            return inner
    return {}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
