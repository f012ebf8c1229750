"""Which kernel attends: PyTorch's own (SDPA), or xformers where its compiled operators really run on this device.

The person's choice, set on one model's own processors. `set_attention_backend` is never called: in diffusers it
changes the choice for the whole process, and so for every model loaded later. A denoiser that knows no such choice
keeps SDPA, and says so.
"""

import functools
from typing import Any

import torch

from studio.core.errors import InvalidRequest


@functools.cache
def xformers_works(device: str) -> bool:
    """Whether memory-efficient attention gives SDPA's answer here; the package installs where its operators do not run."""
    if not device.startswith("cuda"):
        return False
    try:
        from xformers.ops import memory_efficient_attention

        query = torch.randn(1, 16, 2, 32, device=device, dtype=torch.float16)
        ours = torch.nn.functional.scaled_dot_product_attention(*[query.transpose(1, 2)] * 3).transpose(1, 2)
        return torch.allclose(memory_efficient_attention(query, query, query), ours, atol=1e-2)
    except (ImportError, NotImplementedError, RuntimeError, ValueError):
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
