"""The folders that single files are converted to: what each is called, which are still of use, which are removed.

A folder's name carries a stamp of all that it was made from, so that a changed file, another text encoder or VAE beside it,
a corrected family or another dtype means another folder. In each lies a note of its originals. Reads no tensor; no torch.
"""

import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from studio.core.errors import ModelError, StorageError, StudioError
from studio.core.models import ModelInfo
from studio.manager.disk.catalog import Catalog
from studio.manager.disk.companions import Origin, files_of
from studio.manager.disk.safe_files import readable, stamp
from studio.manager.families import Blueprint, family_for

PARTIAL = ".partial-"  # a folder is built under its name and this, and renamed when complete
LOCK = ".lock"
MAX_NAME = 80  # bytes of a folder's name that are its original's; with all that is put behind, a disk takes 255
NOTE = "converted_from.json"
IMPORTED = "imported"  # where they lie, below our own folder of the outputs
DTYPES = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Conversion:
    """What is to be converted, and the folder that it will be."""

    info: ModelInfo
    file: Path
    dtype: str  # of DTYPES
    target: Path
    beside: Mapping[str, Origin] = field(default_factory=dict)  # the components that other files have

    @property
    def name(self) -> str:
        """The file's name, as it may be shown."""
        return readable(self.file.name)

    @property
    def unfinished(self) -> Path:
        """Where this process builds the folder."""
        return self.target.with_name(f"{self.target.name}{PARTIAL}{os.getpid()}")

    @property
    def complete(self) -> bool:
        return (self.target / "model_index.json").is_file()

    @property
    def current(self) -> bool:
        """Whether all files are still those that the folder is named for."""
        try:
            return self.again().target == self.target
        except StudioError:
            return False

    def again(self) -> "Conversion":
        """That of the same files as they are now; raises ModelError where one is gone."""
        return conversion_of(self.info, self.file, self.dtype, self.target.parent, self.beside)

    def note(self) -> dict[str, Any]:
        """What it is made of; JSON of it is to be ASCII, for names on disk are not always text."""
        return {"dtype": self.dtype, "files": [stamp(file.absolute()) for file in (self.file, *files_of(self.beside))]}


def blueprint_of(info: ModelInfo) -> Blueprint:
    """What the file leaves out; raises ModelError where that is not known here."""
    blueprint = family_for(info).blueprint
    if blueprint is None:
        raise ModelError(f"{info.title} cannot be used: single files of its family cannot be completed here.")
    return blueprint


def conversion_of(info: ModelInfo, file: Path, dtype: str, place: Path, beside: Mapping[str, Origin]) -> Conversion:
    """The conversion of a file, with those `beside` it, as they are now, to a folder below `place`; raises ModelError."""
    file, place = file.absolute(), place.absolute()
    stamps = [stamp(path.absolute()) for path in (file, *files_of(beside))]
    if any(size < 0 for _, size, _ in stamps):
        raise ModelError(f"{info.title}, or a file that it needs, is no longer in the models folders.")
    completed_by = json.dumps(asdict(blueprint_of(info)), sort_keys=True, default=sorted)  # sets have no order
    made_from = (stamps, info.family, info.variant, info.capabilities.prediction, dtype, completed_by)
    digest = hashlib.sha256(repr(made_from).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    words = re.sub(r"[^\w.-]+", "_", file.stem).replace(PARTIAL, "_")
    name = words.encode("utf-8", "replace")[:MAX_NAME].decode("utf-8", "ignore")
    return Conversion(info, file, dtype, place / f"{name}-{digest}", beside)


def check_room(file: Path, need: int, place: Path) -> None:
    """Raises StorageError where the disk of `place` has not the bytes that converting a file needs."""
    free = shutil.disk_usage(place).free
    if free < need:
        gib = f"{need / 2**30:.1f} GiB on disk; {free / 2**30:.1f} GiB are free"
        raise StorageError(f"Converting {readable(file.name)} needs {gib}.")


def prepared_in(place: Path, catalog: Catalog) -> tuple[str, ...]:
    """Ids of the single files that have a folder here, made from them and what is beside them as these are now."""
    found = set()
    for info in catalog.models() if place.is_dir() else ():
        path = catalog.path(info.id)
        with suppress(StudioError):
            if info.kind in ("checkpoint", "gguf") and info.problem is None and path is not None:
                beside = catalog.beside(info)
                if any(conversion_of(info, path, dtype, place, beside).complete for dtype in DTYPES):
                    found.add(info.id)
    return tuple(sorted(found))


def discard_partial(conversion: Conversion) -> None:
    """Remove what a conversion left half made."""
    for partial in conversion.target.parent.glob(f"{glob.escape(conversion.target.name)}{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)


def sweep(place: Path) -> None:
    """Remove what is of no use: folders whose original changed or is gone, and what dead processes left half made.

    A folder is kept while its original's folder cannot be seen, as with a disk that is not plugged in.
    """
    # A folder that cannot be written costs room, nothing else; and who converts just now sees to it.
    with suppress(OSError), claimed(place, wait=False) as alone:
        if alone:
            sweep_claimed(place)


def sweep_claimed(place: Path, made: Conversion | None = None) -> None:
    """The same for who holds the claim already; and what a conversion just `made` replaces."""
    for path in place.iterdir():
        if path.name != LOCK and _is_useless(path, made):
            shutil.rmtree(path, ignore_errors=True)


def _is_useless(folder: Path, made: Conversion | None) -> bool:
    try:
        note = json.loads((folder / NOTE).read_bytes())
        files = [(Path(file), size, changed) for file, size, changed in note["files"]]
        of_same = made is not None and (note["dtype"], files[0][0]) == (made.dtype, made.file)
    except (OSError, ValueError, LookupError, TypeError):
        return True
    seen = all(file.parent.is_dir() for file, _, _ in files)
    changed = any(stamp(file)[1:] != (size, changed) for file, size, changed in files)
    replaced = made is not None and of_same and folder != made.target
    return PARTIAL in folder.name or (seen and changed) or replaced


@contextmanager
def claimed(place: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the one right to convert into `place`, in this process or any other; yields whether it was had.

    The system releases it when a process ends, however it ends. Raises OSError where nothing can be written.
    """
    if not wait and not place.is_dir():
        yield False
        return
    place.mkdir(parents=True, exist_ok=True)
    with open(place / LOCK, "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            mine = True
        except BlockingIOError:
            mine = False
        yield mine
