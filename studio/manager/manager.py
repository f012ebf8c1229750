"""What is in memory: components loaded once, shared by content hash, lent to a run by a lease.

`lease` is a context manager; what it lends is pinned until it ends. Pipelines are disposable shells over the
components. Torch and diffusers are imported inside, so that importing this module costs nothing.
"""

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import InvalidRequest, ModelError
from studio.core.models import ModelInfo
from studio.core.settings import Settings
from studio.manager.catalog import Catalog, file_signature
from studio.manager.families import Family, family_for
from studio.manager.folders import SKIPPED, components_of, read_json, weight_files
from studio.manager.importing import import_checkpoint
from studio.manager.loading import load_component, module_bytes, pipeline_class

PRIVATE = ".unnoise"  # our own folder below the outputs
Report = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Loaded:
    """A model that is in memory, for as long as its lease lasts."""

    info: ModelInfo
    family: Family
    components: dict[str, Any]  # name -> module, tokenizer, scheduler, or None
    dtype: Any  # torch.dtype
    device: Any  # torch.device
    weights: dict[str, str]  # component -> sha256 of its weights
    folder: Path
    arguments: dict[str, Any] = field(default_factory=dict)  # other constructor arguments from model_index.json

    def pipeline(self, task: str = "text_to_image") -> Any:
        """A fresh shell that does `task`, over the shared modules, with a scheduler instance of its own."""
        cls = pipeline_class(self._class_for(task))
        known = inspect.signature(cls.__init__).parameters
        parts = {key: value for key, value in (self.arguments | self.components).items() if key in known}
        scheduler = self.components.get("scheduler")
        if scheduler is not None:
            parts["scheduler"] = type(scheduler).from_config(scheduler.config)
        pipeline = cls(**parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline

    def _class_for(self, task: str) -> str:
        """The pipeline class for a task; a model's first task serves for text_to_image, so that DDPM needs no other word."""
        tasks = self.family.pipelines
        first = next(iter(tasks))
        wish = first if task == "text_to_image" and task not in tasks else task
        if wish not in tasks or wish not in self.info.tasks:
            raise InvalidRequest(
                f"{self.info.title} cannot do {task.replace('_', ' ')}; it does: {', '.join(self.info.tasks)}.",
                field="model",
            )
        named = self.info.pipeline
        return named if wish == first and named in self.family.alternatives and named else tasks[wish]


@dataclass(frozen=True)
class ComponentKey:
    """What makes a component in memory the same one. LoRAs are attachments, not keys."""

    content: str  # sha256 over its weights and configuration
    name: str
    dtype: str
    channels_last: bool


class Manager:
    """Owns every module in this process. One device, one run at a time."""

    def __init__(self, settings: Settings, catalog: Catalog | None = None):
        self.settings = settings
        self.catalog = catalog or Catalog(settings.models, settings.outputs / PRIVATE / "catalog.db")
        self._modules: dict[ComponentKey, Any] = {}

    @property
    def device(self) -> Any:
        """The device that the settings name; `auto` is CUDA, then MPS, then the CPU."""
        import torch

        name = self.settings.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
        return torch.device(name)

    @contextmanager
    def lease(
        self, info: ModelInfo, dtype: str, report: Report = lambda what, fraction: None, *, channels_last: bool = False
    ) -> Iterator[Loaded]:
        """Have `info` in memory in `dtype` ("fp32", "bf16", "fp16") for the length of a `with`. Raises ModelError."""
        yield self._load(info, dtype, report, channels_last)

    def resident(self) -> list[tuple[str, int]]:
        """(component, bytes) of what is in memory."""
        return [(key.name, module_bytes(module)) for key, module in self._modules.items()]

    def _load(self, info: ModelInfo, dtype: str, report: Report, channels_last: bool) -> Loaded:
        folder = self._folder(info, dtype, report)
        index = read_json(folder / "model_index.json")
        named = {name: value for name, value in components_of(index).items() if name not in SKIPPED}
        parts: dict[str, Any] = {
            name: None for name, value in index.items() if value == [None, None] or name in SKIPPED
        }
        weights: dict[str, str] = {}
        for number, (name, (library, class_name)) in enumerate(named.items()):
            report(f"reading {name.replace('_', ' ')}", number / len(named))
            parts[name], digest = self._component(folder, name, library, class_name, dtype, channels_last)
            if digest:
                weights[name] = digest
        report("ready", 1.0)
        return Loaded(
            info=info,
            family=family_for(info, "unet" if "unet" in named else "transformer"),
            components=parts,
            dtype=torch_dtype(dtype),
            device=self.device,
            weights=weights,
            folder=folder,
            arguments=_plain_arguments(index),
        )

    def _folder(self, info: ModelInfo, dtype: str, report: Report) -> Path:
        """The diffusers folder of a model: its own, or the one that its single file is converted to, once for a dtype."""
        path = self.catalog.path(info.id)
        if path is None or not path.exists():
            raise ModelError(f"{info.title} is no longer in the models folders.")
        if info.problem or info.kind not in ("checkpoint", "diffusers"):
            raise ModelError(f"{info.title} cannot be used: {info.problem or f'it is of kind {info.kind}'}")
        if path.is_dir():
            return path
        blueprint = family_for(info, "unet").blueprint
        if blueprint is None:
            raise ModelError(f"{info.title} cannot be used: single files of its family cannot be completed here.")
        stamp = hashlib.sha256(f"{file_signature(path)} {dtype} {blueprint}".encode()).hexdigest()[:12]
        name = re.sub(r"[^\w.-]+", "_", path.stem)[:60]
        target = self.settings.outputs / PRIVATE / "imported" / f"{name}-{stamp}"
        return import_checkpoint(path, info, blueprint, target, torch_dtype(dtype), self.settings.models, report)

    def _component(
        self, folder: Path, name: str, library: str, class_name: str, dtype: str, channels_last: bool
    ) -> tuple[Any, str | None]:
        """The component and the hash of its weights; (component, None) for one that has none."""
        files, variant = weight_files(folder / name)
        if not files:
            return load_component(folder, name, library, class_name), None
        digest = self._weights_hash(files)
        key = ComponentKey(digest, f"{name}:{class_name}", dtype, channels_last)
        if key not in self._modules:
            module = load_component(folder, name, library, class_name, torch_dtype(dtype), variant)
            self._modules[key] = _placed(module, self.device, channels_last)
        return self._modules[key], digest

    def _weights_hash(self, files: list[Path]) -> str:
        """SHA-256 of the one safetensors file, or of the list of the shards' hashes."""
        hashes = [self.catalog.index.hash(file) for file in files]
        return hashes[0] if len(hashes) == 1 else hashlib.sha256("\n".join(hashes).encode()).hexdigest()


def torch_dtype(name: str) -> Any:
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def _placed(module: Any, device: Any, channels_last: bool) -> Any:
    import torch

    module.eval().requires_grad_(False)
    if channels_last:
        module.to(memory_format=torch.channels_last)
    return module.to(device)


def _plain_arguments(index: dict[str, Any]) -> dict[str, Any]:
    """Constructor arguments that are values rather than components: requires_safety_checker, id2label, ..."""
    plain = {k: v for k, v in index.items() if not k.startswith("_") and not isinstance(v, list)}
    return plain | ({"requires_safety_checker": False} if "safety_checker" in index else {})
