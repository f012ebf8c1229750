"""Which kernel attends: PyTorch's own (SDPA), or xformers where its compiled operators really run on this device.

The person's choice, set on one model's own processors. `set_attention_backend` is never called: in diffusers it
changes the choice for the whole process, and so for every model loaded later. A denoiser without such a choice keeps
SDPA, and its recipes say so.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch

from studio.core.errors import InvalidRequest


@functools.cache
def xformers_works(device: str) -> bool:
    """Whether its operators really run here, found once by running one; the package installs where they do not."""
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


def set_attention(denoiser: Any, kernel: str, device: torch.device) -> str:
    """Set the kernel on this module alone, and return which attends; raises InvalidRequest where it does not run."""
    if kernel == "xformers":
        if not xformers_works(str(device)):
            raise InvalidRequest(f"xformers does not run on {device}; start with --attention sdpa.")
        if hasattr(denoiser, "enable_xformers_memory_efficient_attention"):
            denoiser.enable_xformers_memory_efficient_attention()
            return kernel
    if kernel == "sliced" and hasattr(denoiser, "set_attention_slice"):
        denoiser.set_attention_slice("auto")
        return kernel
    return "sdpa"
