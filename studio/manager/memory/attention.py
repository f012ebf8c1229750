"""Which kernel attends: PyTorch's own (SDPA), or xformers where its compiled operators really run on this device.

The person's choice, set on one model's own processors. `set_attention_backend` is never called: in diffusers it
changes the choice for the whole process, and so for every model loaded later. A denoiser that knows no such choice
keeps SDPA, and says so.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch

from studio.core.errors import InvalidRequest


@functools.cache
def xformers_works(device: str) -> bool:
    """Whether its operators really run here; the package installs where they do not. Asked of it once, by running one."""
    if not device.startswith("cuda"):
        return False  # it has none for other devices, and importing it says so in several lines
    try:
        from xformers.ops import memory_efficient_attention
    except (ImportError, RuntimeError, OSError):
        return False
    return agrees_with_sdpa(memory_efficient_attention, device)


def agrees_with_sdpa(kernel: Callable[[Any, Any, Any], Any], device: str) -> bool:
    """Whether `kernel`, which takes (n, tokens, heads, channels), runs and gives what PyTorch's own attention gives."""
    drawn = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 16, 2, 32, generator=drawn).to(device, torch.float16)
    try:
        theirs = kernel(query, key, value)
        ours = torch.nn.functional.scaled_dot_product_attention(*(t.transpose(1, 2) for t in (query, key, value)))
        return torch.allclose(theirs, ours.transpose(1, 2), atol=1e-2)
    except (NotImplementedError, RuntimeError, ValueError):
        return False


def set_attention(denoiser: Any, wish: str, device: torch.device) -> str:
    """Set the kernel on this module alone and name it; raises InvalidRequest where the wish cannot be met."""
    if wish == "xformers":
        if not xformers_works(str(device)):
            raise InvalidRequest(f"xformers does not run on {device}; start with --attention sdpa.")
        if hasattr(denoiser, "enable_xformers_memory_efficient_attention"):
            denoiser.enable_xformers_memory_efficient_attention()
            return wish
    if wish == "sliced" and hasattr(denoiser, "set_attention_slice"):
        denoiser.set_attention_slice("auto")
        return wish
    return "sdpa"
