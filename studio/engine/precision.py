"""The dtype of a run with precision `auto`: measured on this device with the model's own denoiser.

bf16 with channels_last must be clearly faster than fp32, since it costs some fidelity. The result is kept per architecture,
device and torch version. A processor without instructions for bf16 computes it many times slower, so it is never chosen
there. For the measurement a model is leased, and a single file converted, in the dtype that a short probe finds likely, so
that another conversion is seldom needed. Bit-exact claims hold per dtype, and recipes name the dtype.
"""

import copy
import hashlib
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.core.options import resolve
from studio.core.parts import PartBase
from studio.core.request import GenerationRequest
from studio.core.stages import stages_of
from studio.engine.effects import Context, call_arguments, no_images
from studio.engine.environment import describe_device
from studio.engine.generate import prepare_pipeline
from studio.manager.families import family_for
from studio.manager.loading import lay_channels_last
from studio.manager.manager import Loaded, Manager

WORTH_IT = 1.2  # bf16 must be this many times as fast
ROUNDS = 3
COSTLY = 2.0  # from this factor on, a slower precision that a person chooses is reported with its cost
PROBED = 5  # rounds of the probe, of some milliseconds each
LARGEST_SIDE = 256  # pixels of the measurement; only the ratio matters
PATIENCE = 10.0  # seconds a round; a slower denoiser is measured once


@dataclass(frozen=True)
class Precision:
    """A dtype and memory layout. `gain` is fp32's time divided by bf16's, where it was measured."""

    dtype: str
    channels_last: bool = False
    gain: float | None = None


HALF, FULL = Precision("bf16", channels_last=True), Precision("fp32")
Report = Callable[[str, float | None], None]


def choose(
    dtype: str,  # the request's: auto, fp32, bf16, fp16
    info: ModelInfo,
    manager: Manager,
    folder: Path | None = None,  # of kept results; outputs/.unnoise/precision
    report: Report = lambda what, fraction: None,
    parts: Sequence[PartBase] = (),  # leased with the model for the measurement, since the run needs them anyway
) -> Precision:
    """The precision to lease the model in: the one that the request names, or for `auto` the measured one."""
    if family_for(info).precise and dtype not in ("auto", "fp32"):
        raise InvalidRequest(f"{info.title} works in fp32 alone; choose it, or auto.", field="dtype")
    if dtype != "auto":
        if manager.device.type == "cpu" and dtype != "fp32" and (cost := 1 / gain_of(dtype)) >= COSTLY:
            report(f"{dtype} takes about {cost:.0f} times as long as fp32 on this processor", None)
        return Precision(dtype)
    if (known := _known(info, manager, folder)) is not None:
        return known
    first = likely()
    with manager.lease(info, first.dtype, report, parts=parts, channels_last=first.channels_last) as loaded:
        if not loaded.whole:
            return Precision("bf16")  # memory is short: half as much matters more than speed
        with manager.room(copy_bytes(loaded)) as fits:
            if not fits:
                return first  # unmeasured; that is done when there is more memory
            report("measuring which precision is fastest", None)
            found = measure(loaded)
    if (found.dtype, found.channels_last) != (first.dtype, first.channels_last):
        manager.unload(info)  # it will run in another dtype
    _write(_path(folder, info, manager), found)
    return found


def first_dtype(dtype: str, info: ModelInfo, manager: Manager, folder: Path | None = None) -> str:
    """The dtype that `choose` would lease the model in first, found without loading anything."""
    return foreseen(dtype, info, manager, folder).dtype


def foreseen(dtype: str, info: ModelInfo, manager: Manager, folder: Path | None = None) -> Precision:
    """What `choose` will return, if that is known; else what it leases the model in for the measurement."""
    if dtype != "auto":
        return Precision(dtype)
    return _known(info, manager, folder) or likely()


def _known(info: ModelInfo, manager: Manager, folder: Path | None) -> Precision | None:
    """The result without a measurement: a kept one, or the only one for the device or pipeline; else None."""
    if family_for(info).precise:
        return Precision("fp32")
    if manager.device.type == "cuda":
        return Precision("bf16" if torch.cuda.is_bf16_supported() else "fp16", channels_last=True)
    if manager.device.type != "cpu":
        return Precision("fp32")
    if not has_bf16():
        return FULL
    return _read(_path(folder, info, manager))


def has_bf16() -> bool:
    """Whether the processor has instructions for bf16 (AVX512-BF16, AMX, or their equivalents on other architectures)."""
    return any(present for name, present in torch.cpu.get_capabilities().items() if "bf16" in name)


def likely() -> Precision:
    """The dtype of the measurement's lease on the CPU: bf16, with half the memory and disk space, unless it is slower than
    fp32."""
    return FULL if gain_of("bf16") < 1 else HALF


@cache
def gain_of(dtype: str) -> float:
    """fp32's time divided by that of bf16 or fp16 on the CPU, for a convolution and a linear layer typical of denoisers."""
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}[dtype]
    with torch.random.fork_rng(devices=[]):
        layers = (torch.nn.Conv2d(320, 320, 3, padding=1), torch.nn.Linear(640, 2560))
        inputs = (torch.randn(1, 320, 32, 32), torch.randn(1, 1024, 640))
    quick_layers = [_quick(layer, kind) for layer in layers]
    quick_inputs = [x.to(kind) for x in inputs]
    times: list[tuple[float, float]] = []
    with torch.no_grad():
        for _ in range(PROBED):
            full = sum(_seconds(layer, (x,), {}) for layer, x in zip(layers, inputs, strict=True))
            quick = sum(_seconds(layer, (x,), {}) for layer, x in zip(quick_layers, quick_inputs, strict=True))
            times.append((full, quick))
    return min(full for full, _ in times) / min(quick for _, quick in times)


@contextmanager
def leased(
    manager: Manager,
    info: ModelInfo,
    dtype: str,
    folder: Path | None = None,
    report: Report = lambda what, fraction: None,
    *,
    parts: Sequence[PartBase] = (),
    request: GenerationRequest | None = None,  # whose shape the memory is planned for
) -> Iterator[Loaded]:
    """Lease the model in the precision that `choose` returns, for the length of a `with`."""
    found = choose(dtype, info, manager, folder, report, parts)
    how: dict[str, Any] = {"parts": parts, "channels_last": found.channels_last, "request": request}
    with manager.lease(info, found.dtype, report, **how) as loaded:
        yield loaded


def leases(
    manager: Manager, dtype: str, folder: Path | None = None, report: Report = lambda what, fraction: None
) -> Callable[[int, ModelInfo, GenerationRequest], AbstractContextManager[Loaded]]:
    """Leases the models of one request one after another: the first in the precision that `choose` returns, the others in the same."""
    found: list[Precision] = []

    def lease(number: int, info: ModelInfo, request: GenerationRequest) -> AbstractContextManager[Loaded]:
        if not found:
            found.append(choose(dtype, info, manager, folder, report, request.parts))
        return manager.lease(info, found[0].dtype, report, channels_last=found[0].channels_last, request=request)

    return lease


def measure(loaded: Loaded) -> Precision:
    """Time the denoiser's forward in fp32 and in bf16 in turn, on inputs from its own pipeline; one is the leased model, the
    other a copy."""
    denoiser = loaded.components[loaded.family.denoiser]
    args, kwargs = first_call(loaded)
    full, full_args, full_kwargs = quick, quick_args, quick_kwargs = denoiser, args, kwargs
    if loaded.dtype is torch.float32:
        quick = _quick(denoiser)
        quick_args, quick_kwargs = _cast((args, kwargs), torch.bfloat16)
    else:
        full = copy.deepcopy(denoiser).to(torch.float32).to(memory_format=torch.contiguous_format)
        full_args, full_kwargs = _cast((args, kwargs), torch.float32)
    pairs: list[tuple[float, float]] = []
    with torch.no_grad():
        for _ in range(1 + ROUNDS):
            pairs.append((_seconds(full, full_args, full_kwargs), _seconds(quick, quick_args, quick_kwargs)))
            if sum(pairs[0]) > PATIENCE:
                break
    timed = pairs[1:] or pairs  # the first round warms up
    gain = statistics.median(full for full, _ in timed) / statistics.median(quick for _, quick in timed)
    return Precision("bf16", True, round(gain, 3)) if gain >= WORTH_IT else Precision("fp32", False, round(gain, 3))


class _Captured(Exception):
    """Stops a pipeline's run at its first call of the denoiser."""


def first_call(loaded: Loaded) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of the first forward that the model's own pipeline makes, guidance on, at its own size up to LARGEST_SIDE."""
    info = loaded.info
    free = not (info.capabilities.fixed_size or info.capabilities.sizes or info.capabilities.area)
    size = {"width": _capped(info.defaults.width), "height": _capped(info.defaults.height)} if free else {}
    # "0" is a prompt like any other, and the name of a class where a model knows only classes.
    request = GenerationRequest(
        prompt="0" if info.capabilities.prompted else "", steps=info.defaults.steps, guidance_scale=5.0, seed=0, **size
    )
    request = stages_of(resolve(request, info), info)[0].request
    pipeline = prepare_pipeline(request, loaded, [0])
    caught: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def catch(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        caught.append((args, kwargs))
        raise _Captured

    denoiser = loaded.components[loaded.family.denoiser]
    hook = denoiser.register_forward_pre_hook(catch, with_kwargs=True)
    arguments = call_arguments(Context(request, loaded, pipeline, (0,), {}, no_images))
    try:
        pipeline(**arguments, generator=torch.Generator().manual_seed(0))
    except _Captured:
        pass
    finally:
        hook.remove()
    return caught[0]


def _capped(side: int) -> int:
    return min(side, LARGEST_SIDE)


def _seconds(module: Any, args: Any, kwargs: Any) -> float:
    began = time.perf_counter()
    module(*args, **kwargs)
    return time.perf_counter() - began


def copy_bytes(loaded: Loaded) -> int:
    """The memory that `measure` needs beside the model: a copy of its denoiser, in fp32 at most, and room to run it."""
    parameters = loaded.components[loaded.family.denoiser].parameters()
    return int(1.25 * 4 * sum(parameter.numel() for parameter in parameters))


def _quick(module: Any, dtype: torch.dtype = torch.bfloat16) -> Any:
    """A copy in bf16 and channels_last."""
    return lay_channels_last(copy.deepcopy(module).to(dtype))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Tensors of floats in `dtype`, within tuples, lists and dicts too; everything else as it is."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, tuple | list):
        return type(value)(_cast(item, dtype) for item in value)
    if isinstance(value, dict):
        return {name: _cast(item, dtype) for name, item in value.items()}
    return value


def _path(folder: Path | None, info: ModelInfo, manager: Manager) -> Path | None:
    # Single files of one family and variant have one architecture; folders of one family are of any size.
    what = f"{info.id}:{info.bytes}" if info.kind == "diffusers" else f"{info.family}:{info.variant}"
    key = f"{what}:{describe_device(manager.device)}:{torch.__version__}"
    return folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json" if folder else None


def _read(path: Path | None) -> Precision | None:
    """A kept result; None if there is none that can be read."""
    try:
        return Precision(**json.loads(path.read_text())) if path else None
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path | None, found: Precision) -> None:
    """Keep a result; if the disk is full, it is measured again next time."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        temporary.write_text(json.dumps(asdict(found)))
        os.replace(temporary, path)
    except OSError:
        return
