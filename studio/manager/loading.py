"""Finds classes of diffusers and transformers by name, and loads components from folders. Never from the network, never code.

Only classes that the two libraries themselves export are found; only safetensors are read. Does not depend on torch
until something is loaded.
"""

import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio import compat
from studio.core.errors import ModelError, OutOfMemory
from studio.manager.disk.folder_parts import SKIPPED, component_config, components_of, weight_files
from studio.manager.disk.safe_files import read_json
from studio.manager.families import Family

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
NO_MEMORY = ("can't allocate memory", "out of memory", "bad_alloc", "ALLOC_FAILED", "Cannot allocate memory")


@dataclass(frozen=True, eq=False)
class Source:
    """Where a component that holds weights comes from. Subclasses load theirs in other ways than from a folder."""

    name: str  # what pipelines call it; components of other names are never one, whatever their content
    library: str
    class_name: str
    folder: Path  # the component's own, where its configuration is
    files: tuple[Path, ...]
    config: dict[str, Any] = field(default_factory=dict)
    variant: str | None = None  # of the files' names: fp16

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    def load(self, dtype: Any) -> Any:
        """The module with its weights. Raises ModelError."""
        options = {"dtype": dtype, "use_safetensors": True, "variant": self.variant, "output_loading_info": True}
        module, report = load_folder(self.folder, self.library, self.class_name, **options)
        missing = sorted(report["missing_keys"])
        if missing:  # the libraries would go on with random numbers in their place
            lacks = f"lacks {len(missing)} of its tensors, such as {missing[0]}"
            raise ModelError(f"The {self.title} ({self.class_name}) {lacks}.")
        return module

    def empty(self, dtype: Any) -> Any:
        """The module that `load` would give, as shapes without data. Raises ModelError.

        Buffers that no file holds are real, and of the dtype that the libraries make them in.
        """
        import torch

        cls, own = component_class(self.library, self.class_name), {"local_files_only": True}
        with explained(f"The {self.title} ({self.class_name}) could not be made"), empty_weights(dtype):
            if hasattr(cls, "from_config"):
                module = cls.from_config(cls.load_config(str(self.folder), **own))
            else:  # of transformers, or made as theirs are
                config = cls.config_class.from_pretrained(str(self.folder), **own)
                try:
                    module = cls(config)
                except AttributeError:  # an encoder may come with the configuration of the model that it is half of
                    module = cls(config.encoder)
        in_fp32 = set(getattr(cls, "_keep_in_fp32_modules", None) or ()) if hasattr(cls, "from_config") else set()
        for prefix, layer in module.named_modules():
            for key, kept in layer._parameters.items():
                if kept is not None:
                    precision = dtype if in_fp32.isdisjoint((*prefix.split("."), key)) else torch.float32
                    shape = torch.empty(kept.shape, dtype=precision, device="meta")
                    layer._parameters[key] = torch.nn.Parameter(shape, requires_grad=False)
        return module


def absent_components(family: Family | None) -> frozenset[str]:
    """Components that are never loaded for a model of the family, whether or not its folder has them."""
    return SKIPPED | (family.enlarging.not_needed if family and family.enlarging else frozenset())


def folder_sources(folder: Path, family: Family | None = None) -> dict[str, Source]:
    """The components of a diffusers folder that hold weights and are loaded. Raises ModelError."""
    out, absent = {}, absent_components(family)
    for name, (library, class_name) in components_of(read_json(folder / "model_index.json")).items():
        files, variant = weight_files(folder / name) if name not in absent else ([], None)
        if files:
            config = component_config(folder, name)
            out[name] = Source(name, library, class_name, folder / name, tuple(files), config, variant)
    return out


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
        for parent in ("diffusers.pipelines", "diffusers.pipelines.deprecated"):  # where pipelines keep their own
            module = f"{parent}.{library}"
            if found is None and library.isidentifier() and importlib.util.find_spec(module):
                found = getattr(importlib.import_module(module), name, None)
    if not isinstance(found, type):
        raise ModelError(f"{name} of {library} is not a class of the installed diffusers or transformers.")
    return found


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch says it in many ways: CUDA by a class of its own, the CPU and the libraries below by a RuntimeError's words."""
    if isinstance(error, OutOfMemory):
        return False  # raised by the planner, or by us: nothing was tried that memory refused
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | OSError) and any(sign in str(error) for sign in NO_MEMORY)


@contextmanager
def explained(subject: str) -> Iterator[None]:
    """What the libraries raise over a file or a configuration becomes a ModelError that begins with `subject`."""
    try:
        yield
    except FAULTS as error:
        if is_out_of_memory(error):
            raise
        raise ModelError(f"{subject}: {reason(error)}") from error


@contextmanager
def empty_weights(dtype: Any) -> Iterator[None]:
    """Modules made meanwhile are shapes without data, of parameters in `dtype`; their buffers are real."""
    import torch
    from accelerate import init_empty_weights

    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(dtype)
        with init_empty_weights(include_buffers=False):
            yield
    finally:
        torch.set_default_dtype(before)


def load_folder(folder: Path, library: str, class_name: str, **options: Any) -> Any:
    """What the class makes of a component's folder: a tokenizer, a scheduler, a processor. Raises ModelError."""
    cls = component_class(library, class_name)
    if not hasattr(cls, "from_pretrained"):
        raise ModelError(f"{class_name} cannot be loaded from a folder.")
    with explained(f"The {folder.name.replace('_', ' ')} ({class_name}) could not be loaded"):
        return cls.from_pretrained(str(folder), local_files_only=True, **options)


def lay_channels_last(module: Any) -> Any:
    """The module with its 2D convolutions laid out channels last; those of video have a layout of their own, and keep it."""
    import torch

    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.ndim == 4:
            tensor.data = tensor.data.to(memory_format=torch.channels_last)
    return module


def module_bytes(module: Any) -> int:
    """Bytes of a module's parameters and buffers, each counted once; of a mapped file only what is the module's."""
    tensors = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
    return sum(tensor.nbytes for tensor in tensors.values())


def reason(error: Exception) -> str:
    """The first line of a library's message, without the folders of this machine."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    words = [Path(word.strip("'\"")).name if "/" in word else word for word in first.split()]
    return " ".join(words)[:200].rstrip(".") + "."
