"""What a recipe says of the machine: device, kernels, threads and library versions; everything that can change bits."""

import functools
from importlib import metadata
from typing import Any

import torch

from studio import __version__

LIBRARIES = ("torch", "diffusers", "transformers", "accelerate", "peft", "torchsde")


@functools.cache
def library_versions() -> dict[str, str]:
    """Name -> version, of the studio and of the libraries that take part in a run."""
    found = {"unnoise": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def describe_device(device: Any) -> str:
    """ "cpu (AVX512, 2 threads)": on a CPU the order of sums, and so the last bits, depend on both."""
    device = torch.device(device)
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({torch.backends.cpu.get_cpu_capability()}, {threads} thread{'s' * (threads > 1)})"
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return device.type
