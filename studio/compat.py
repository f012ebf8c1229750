"""Sets a process up for torch and diffusers; call `prepare()` before the first import of either, of transformers or of peft.

Sets environment variables that these libraries read when they are loaded, and repairs a torchvision that cannot be imported
beside the installed torch. Depends on no other module of the studio.
"""

import functools
import gc
import importlib.util
import logging
import os
import sys
import types
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

# How often a thread of GNU OpenMP looks for work before it sleeps; 70 microseconds here. See `_set_threads`.
SPINS = "3000"

log = logging.getLogger(__name__)


@functools.cache
def prepare() -> None:
    """Set the process up for offline use of diffusers, which never runs code that it finds in a model's folder. Idempotent."""
    os.environ["DIFFUSERS_DISABLE_REMOTE_CODE"] = "true"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # The studio reports its own progress; the libraries' bars and remarks would appear in the middle of it.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    # xformers prints a warning about its missing CUDA operators each time diffusers looks for it.
    logging.getLogger("xformers").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(diffusers|transformers|timm|controlnet_aux)\b")
    _set_threads(os.environ)
    _tame_torchvision()


@contextmanager
def loading_libraries() -> Iterator[None]:
    """Prepares the process, and suspends the garbage collector while the libraries are imported in the block: it would search
    all that they make again and again, for a fifth of the time, and they make it to stay."""
    prepare()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()


def _set_threads(environment: MutableMapping[str, str]) -> None:
    """How OpenMP's threads wait and how many there are; a person's own setting stays unless it makes results wrong.

    Waiting: a step of a small U-Net is some 270 parallel regions, and threads that wait for each other spin for 7 ms by
    default. Linux shares processors among sessions and control groups first, so beside a busy program of another session,
    the thread that is waited for loses its turn while its siblings spin, and each region takes two ticks of the scheduler:
    a picture takes 30 to 40 times as long. If they sleep at once (OMP_WAIT_POLICY=PASSIVE), waking them costs a quarter of
    the time alone. A short spin loses neither (benchmarks/contention.py).

    Number: oneDNN divides the gradient of a convolution's weights among as many threads as it asks for, and adds up what
    all of them were to write. Where OpenMP gives it fewer, the sum contains memory that nobody has written.
    """
    if not environment.keys() & {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}:
        environment["GOMP_SPINCOUNT"] = SPINS
    if environment.get("OMP_DYNAMIC", "").strip().lower() == "true":
        environment["OMP_DYNAMIC"] = "false"
        log.warning("OMP_DYNAMIC=true was ignored: with it torch computes wrong gradients.")
    limit = environment.pop("OMP_THREAD_LIMIT", "").strip()
    if limit.isdecimal():  # the same number, asked for beforehand
        wanted = environment.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
        count = int(wanted) if wanted.isdecimal() else os.cpu_count() or 1
        environment["OMP_NUM_THREADS"] = str(max(1, min(count, int(limit))))


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
