"""Whether the numbers in a weights file are numbers, read from the file itself before anything in memory has moved.

Weights that hold NaN load without a word and paint black. A pass of minimum and maximum finds NaN, infinity and what
the run's dtype cannot hold; 2 GB take about a fifth of a second beyond reading them. A few megabytes are held at a time.
"""

import math
from collections.abc import Callable
from io import FileIO
from pathlib import Path

import torch

from studio.core.errors import ModelError
from studio.core.models import ModelInfo
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.headers import read_header
from studio.manager.memory.filling import DTYPES, places
from studio.manager.memory.residency import Component

LOOKED = "2"  # of the rows that say what was found: raise it when weights are looked at differently
LARGE = "too large"  # for the dtype, and for no other reason
CHUNK = 8 << 20


def check_numbers(
    info: ModelInfo,
    dtype: str,
    components: dict[str, Component],
    weights: dict[str, str],  # component -> sha256
    catalog: Catalog,
    report: Callable[[str, float | None], None],
) -> None:
    """Refuse unsound weights. Looked at once for each content and dtype, and remembered; a model whose own are no numbers
    is listed with that problem from then on. Raises ModelError."""
    for name, component in components.items():
        mark, part = f"sound:{weights[name]}:{dtype}", name.replace("_", " ")
        known = catalog.index.facts(mark, LOOKED)
        if known is None:
            report(f"checking the numbers of the {part}", None)
            bad = first_unsound(component.source.files, component.dtype)
            known = {"bad": bad[0], "what": bad[1]} if bad else {"bad": None}
            catalog.index.put_facts([(mark, LOOKED, known)])
        if known["bad"] is None:
            continue
        if known["what"] == LARGE:
            raise ModelError(f"Its {part} holds numbers too large for {dtype}, in {known['bad']}. Try fp32 or bf16.")
        problem = f"Its {part} holds numbers that are not finite ({known['what']}), in {known['bad']}."
        if not (name == "vae" and info.vae):  # else it is not the model's own
            catalog.remember_problem(info.id, problem)
        raise ModelError(problem)


def first_unsound(files: tuple[Path, ...], dtype: torch.dtype) -> tuple[str, str] | None:
    """(tensor, what is wrong with it) of the first that cannot be used; None if all can. Raises ModelError."""
    limit = torch.finfo(dtype).max
    worst: tuple[str, str] | None = None
    for file in files:
        for name, largest in _largest(file):
            if not math.isfinite(largest):
                return name, "NaN" if math.isnan(largest) else "infinity"
            if largest > limit and worst is None:
                worst = name, LARGE
    return worst


def _largest(file: Path) -> list[tuple[str, float]]:
    """The largest magnitude of each floating-point tensor; NaN where it holds one."""
    read_header(file)  # refuses what lies about itself
    buffer = bytearray(CHUNK)
    out = []
    try:
        with file.open("rb", buffering=0) as opened:
            for name, place in places(opened).items():
                if place.dtype in DTYPES:
                    opened.seek(place.offset)
                    out.append((name, _magnitude(opened, place.bytes, DTYPES[place.dtype], buffer)))
    except OSError as error:
        raise ModelError(f"{file.parent.name}/{file.name} cannot be read: {error.strerror}.") from None
    return out


def _magnitude(opened: FileIO, size: int, dtype: torch.dtype, buffer: bytearray) -> float:
    largest = torch.zeros((), dtype=dtype)
    view = memoryview(buffer)
    while size:
        got = opened.readinto(view[: min(size, CHUNK)])
        whole = got - got % dtype.itemsize
        if not whole:
            raise ModelError("The file ends early.")
        if whole < got:
            opened.seek(whole - got, 1)
        low, high = torch.aminmax(torch.frombuffer(buffer, dtype=dtype, count=whole // dtype.itemsize))
        largest = torch.maximum(largest, torch.maximum(-low, high))  # both hand NaN on
        size -= whole
    return float(largest)
