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
from studio.manager.disk.safe_files import readable
from studio.manager.families import Blueprint, family_for

PARTIAL = ".partial-"  # a folder is built under its name and this, and renamed when complete
LOCK = ".lock"
MAX_NAME = 80  # bytes of a folder's name that are its original's; with all that is put behind, a disk takes 255
NOTE = "converted_from.json"
IMPORTED = "imported"  # where they lie, below our own folder of the outputs


@dataclass(frozen=True)
class Conversion:
    """What is to be converted, and the folder that it will be."""

    info: ModelInfo
    file: Path
    dtype: str  # fp32, bf16, fp16
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

    def replaces(self, other: "Conversion") -> bool:
        """Whether the other folder was made of the same for the same, but for what lies beside it."""
        mine, theirs = ((one.file, one.dtype, _identified(one.info)) for one in (self, other))
        return mine == theirs and self.target != other.target

    def note(self) -> dict[str, Any]:
        """What it is made of, as plain values; JSON of them is to be ASCII, for names on disk are not always text."""
        return {
            "info": self.info.model_dump(mode="json"),
            "file": str(self.file),
            "dtype": self.dtype,
            "origins": {
                name: [[str(file) for file in origin.files], origin.prefix, origin.folder and str(origin.folder)]
                for name, origin in self.beside.items()
            },
        }

    @classmethod
    def of_note(cls, note: dict[str, Any], target: Path) -> "Conversion":
        origins = note.get("origins", {"": [note.get("beside", ()), "", None]})  # earlier versions: the files alone
        beside = {
            name: Origin(tuple(map(Path, files)), prefix, Path(folder) if folder else None)
            for name, (files, prefix, folder) in origins.items()
        }
        return cls(ModelInfo.model_validate(note["info"]), Path(note["file"]), str(note["dtype"]), target, beside)


def blueprint_of(info: ModelInfo) -> Blueprint:
    """What the file leaves out; raises ModelError where that is not known here."""
    blueprint = family_for(info).blueprint
    if blueprint is None:
        raise ModelError(f"{info.title} cannot be used: single files of its family cannot be completed here.")
    return blueprint


def conversion_of(info: ModelInfo, file: Path, dtype: str, place: Path, beside: Mapping[str, Origin]) -> Conversion:
    """The conversion of a file, with those `beside` it, as they are now, to a folder below `place`; raises ModelError."""
    file, place = file.absolute(), place.absolute()
    try:
        stat, others = file.stat(), [(other.absolute(), other.stat()) for other in files_of(beside)]
    except OSError:
        raise ModelError(f"{info.title}, or a file that it needs, is no longer in the models folders.") from None
    completed_by = json.dumps(asdict(blueprint_of(info)), sort_keys=True, default=sorted)  # sets have no order
    sizes = [(str(other), found.st_size, found.st_mtime_ns) for other, found in others]
    made_from = (str(file), stat.st_size, stat.st_mtime_ns, *_identified(info), dtype, *sizes)
    stamp = hashlib.sha256(f"{made_from} {completed_by}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    words = re.sub(r"[^\w.-]+", "_", file.stem).replace(PARTIAL, "_")
    name = words.encode("utf-8", "replace")[:MAX_NAME].decode("utf-8", "ignore")
    return Conversion(info, file, dtype, place / f"{name}-{stamp}", beside)


def _identified(info: ModelInfo) -> tuple[str | None, ...]:
    """What the file is taken for, which decides how it is converted."""
    return info.family, info.variant, info.capabilities.prediction


def check_room(file: Path, need: int, place: Path) -> None:
    """Raises StorageError where the disk of `place` has not the bytes that converting a file needs."""
    free = shutil.disk_usage(place).free
    if free < need:
        gib = f"{need / 2**30:.1f} GiB on disk; {free / 2**30:.1f} GiB are free"
        raise StorageError(f"Converting {readable(file.name)} needs {gib}.")


def prepared_in(place: Path, catalog: Catalog) -> tuple[str, ...]:
    """Ids of the models that have a folder here, made from their file and what is beside it as these are now."""
    notes = [note for folder in place.absolute().glob("*") if (note := _read(folder)) is not None and note.complete]
    made, known = {note.target for note in notes}, {info.id: info for info in catalog.models()}
    found = set()
    for note in notes:
        info, path = known.get(note.info.id), catalog.path(note.info.id)
        with suppress(StudioError):
            if info and path and conversion_of(info, path, note.dtype, place, catalog.beside(info)).target in made:
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
    with (
        suppress(OSError),
        claimed(place, wait=False) as alone,
    ):  # a folder that cannot be written costs room, nothing else
        if alone:  # else somebody converts just now, and sees to it
            sweep_claimed(place)


def sweep_claimed(place: Path, made: Conversion | None = None) -> None:
    """The same for who holds the claim already; and what a conversion just `made` replaces."""
    for path in place.iterdir():
        known = _read(path)
        if known is None:
            useless = path.name != LOCK
        else:
            seen = all(file.parent.is_dir() for file in (known.file, *files_of(known.beside)))
            useless = (seen and not known.current) or (made is not None and made.replaces(known))
        if useless and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif useless:
            with suppress(OSError):
                path.unlink()


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


def _read(folder: Path) -> Conversion | None:
    """What a finished folder's note says; None where there is none."""
    if PARTIAL in folder.name:
        return None
    try:
        return Conversion.of_note(json.loads((folder / NOTE).read_bytes()), folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
