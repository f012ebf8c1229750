"""Whether an error means "out of memory"."""

from studio.core.errors import OutOfMemory

SIGNS = ("can't allocate memory", "out of memory", "bad_alloc", "ALLOC_FAILED", "Cannot allocate memory")


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch says it in many ways: CUDA by a class of its own, the CPU and the libraries below by a RuntimeError's words."""
    if isinstance(error, OutOfMemory):
        return False  # raised by the planner, or by us: nothing was tried that memory refused
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(sign in str(error) for sign in SIGNS)
