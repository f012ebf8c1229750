"""Makes torch, torchvision and diffusers importable together; call `prepare()` before the first import of any of them.

Knows about installed binaries only; it does not know models, devices or settings.
"""

import functools
import importlib.util
import logging
import os
import sys
import types
import warnings


@functools.cache
def prepare() -> None:
    """Set the process up for offline diffusers use. Idempotent; must run before diffusers, transformers or peft load."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    os.environ.setdefault("DIFFUSERS_DISABLE_REMOTE_CODE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # The studio says itself how far it is; the libraries' bars and remarks would stand in the middle of it.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    # xformers prints a warning about its missing CUDA operators each time diffusers looks for it.
    logging.getLogger("xformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(diffusers|transformers|timm|controlnet_aux)\b")
    _tame_torchvision()


def _tame_torchvision() -> None:
    """Let a CUDA build of torchvision be imported beside a CPU torch.

    pip pairs the CPU torch with PyPI's torchvision, whose compiled operators then cannot load; its meta registrations
    fail at import ("operator torchvision::nms does not exist") and take transformers' image processors with them.
    An empty module in their place leaves everything that needs no compiled operator working.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    import torch

    if torch.cuda.is_available() or _torchvision_operators_load():
        return
    sys.modules["torchvision._meta_registrations"] = types.ModuleType("torchvision._meta_registrations")


def _torchvision_operators_load() -> bool:
    import torch

    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    folder = os.path.dirname(spec.origin)
    for name in ("_C.so", "_C.pyd", "_C_stable.so"):
        path = os.path.join(folder, name)
        if os.path.exists(path):
            try:
                torch.ops.load_library(path)
            except OSError:
                return False
            return True
    return False
