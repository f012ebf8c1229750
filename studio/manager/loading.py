"""Finds classes of diffusers and transformers by name and loads one component from a folder. Never the network, never code.

Only classes that the two libraries themselves export are found; only safetensors are read.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

from studio import compat
from studio.core.errors import ModelError
from studio.manager.out_of_memory import is_out_of_memory

# Classes by the names that older folders have for them.
RENAMED = {
    "MT5Tokenizer": "T5Tokenizer",
    "MT5TokenizerFast": "T5Tokenizer",
    "CLIPFeatureExtractor": "CLIPImageProcessor",
}
# What the libraries raise over a file or a configuration that is not what they expect.
FAULTS = (
    OSError, ValueError, RuntimeError, LookupError, TypeError, ImportError, AttributeError, ArithmeticError, AssertionError,
)  # fmt: skip


def pipeline_class(name: str) -> Any:
    """A pipeline class exported by diffusers; raises ModelError."""
    compat.prepare()
    import diffusers

    cls = getattr(diffusers, name, None)
    if not (isinstance(cls, type) and issubclass(cls, diffusers.DiffusionPipeline)):
        raise ModelError(f"diffusers {diffusers.__version__} has no pipeline {name}.")
    return cls


def component_class(library: str, name: str) -> Any:
    """The class a model_index.json names as [library, class]; a pipeline's own module counts as diffusers'."""
    compat.prepare()
    import diffusers

    if library == "transformers":
        import transformers

        found = getattr(transformers, RENAMED.get(name, name), None)
    else:
        found = getattr(diffusers, name, None)
        if found is None and library != "diffusers":
            found = getattr(_pipeline_module(library), name, None)
    if not isinstance(found, type):
        raise ModelError(f"{name} of {library} is not a class of the installed diffusers or transformers.")
    return found


def _pipeline_module(name: str) -> Any:
    """A pipeline's own module, among those that diffusers has set aside too; None if there is none."""
    for parent in ("diffusers.pipelines", "diffusers.pipelines.deprecated"):
        if name.isidentifier() and importlib.util.find_spec(f"{parent}.{name}"):
            return importlib.import_module(f"{parent}.{name}")
    return None


def load_component(
    folder: Path, name: str, library: str, class_name: str, dtype: Any = None, variant: str | None = None
) -> Any:
    """One component from `folder/name`: a module in `dtype`, or a tokenizer, scheduler or processor without one."""
    cls = component_class(library, class_name)
    if not hasattr(cls, "from_pretrained"):
        raise ModelError(f"{class_name} cannot be loaded from a folder.")
    options: dict[str, Any] = {"local_files_only": True}
    if dtype is not None:
        options |= {"dtype": dtype, "use_safetensors": True, "variant": variant, "output_loading_info": True}
    part = f"The {name.replace('_', ' ')} ({class_name})"
    try:
        loaded = cls.from_pretrained(str(folder / name), **options)
    except FAULTS as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{part} could not be loaded: {reason(error)}") from error
    if dtype is None:
        return loaded
    module, told = loaded
    missing = sorted(told["missing_keys"])
    if missing:  # the libraries would go on with random numbers in their place
        raise ModelError(f"{part} lacks {len(missing)} of its tensors, such as {missing[0]}.")
    return module


def empty_component(folder: Path, name: str, library: str, class_name: str, dtype: Any) -> Any:
    """The module that `load_component` would give, as shapes without data.

    Buffers that no file holds are real, and of the dtype that the libraries make them in.
    """
    import torch
    from accelerate import init_empty_weights

    cls = component_class(library, class_name)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        with init_empty_weights(include_buffers=False):
            if not hasattr(cls, "from_config"):  # of transformers, or made as theirs are
                config = cls.config_class.from_pretrained(str(folder / name), local_files_only=True)
                module = _made(cls, config)
            else:
                module = cls.from_config(cls.load_config(str(folder / name), local_files_only=True))
    except FAULTS as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"The {name.replace('_', ' ')} ({class_name}) could not be made: {reason(error)}") from error
    finally:
        torch.set_default_dtype(before)
    in_fp32 = set(getattr(cls, "_keep_in_fp32_modules", None) or ()) if hasattr(cls, "from_config") else set()
    for prefix, layer in module.named_modules():
        for key, kept in layer._parameters.items():
            if kept is not None:
                own = dtype if in_fp32.isdisjoint((*prefix.split("."), key)) else torch.float32
                shape = torch.empty(kept.shape, dtype=own, device="meta")
                layer._parameters[key] = torch.nn.Parameter(shape, requires_grad=False)
    return module


def _made(cls: Any, config: Any) -> Any:
    """An encoder may lie with the configuration of the whole model that it is half of."""
    try:
        return cls(config)
    except AttributeError:
        if not hasattr(config, "encoder"):
            raise
        return cls(config.encoder)


def load_autoencoder(file: Path, folder: Path, class_name: str, dtype: Any) -> Any:
    """An autoencoder from a single file, in either naming, under the configuration of `folder/vae`."""
    from safetensors.torch import load_file

    tensors, cls = load_file(file), component_class("diffusers", class_name)
    module = empty_component(folder, "vae", "diffusers", class_name, dtype)
    try:
        if tensors.keys() == module.state_dict().keys():
            module.load_state_dict(tensors, assign=True)
            return module.to(dtype)
        options = {"config": str(folder), "subfolder": "vae", "local_files_only": True, "torch_dtype": dtype}
        return cls.from_single_file(tensors, **options)
    except (ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ModelError(f"The VAE {file.stem} does not fit this model: {reason(error)}") from error


def lay_channels_last(module: Any) -> Any:
    """The module with its 2D convolutions laid out channels last; those of video have a layout of their own, and keep it."""
    import torch

    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return module


def module_bytes(module: Any) -> int:
    """Bytes of a module's parameters and buffers, each counted once; of a mapped file only what is the module's."""
    sizes = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        sizes[tensor.data_ptr()] = tensor.nbytes
    return sum(sizes.values())


def reason(error: Exception) -> str:
    """The first line of a library's message, without the folders of this machine."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    words = [Path(word.strip("'\"")).name if "/" in word else word for word in first.split()]
    return " ".join(words)[:200].rstrip(".") + "."
