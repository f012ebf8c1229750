"""The folders that single files were converted to: what each is called, which are still of use, which go.

A folder's name carries a stamp of all that it was made from, so that a changed file, a text encoder or VAE beside it that
changed or gave way to a better one, a corrected family or another dtype means another folder. Beside each lies a note of
its originals. Knows names and notes; refuses to know tensors.
"""

import glob
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from studio.core.errors import ModelError, StudioError
from studio.core.models import ModelInfo
from studio.manager.disk.headers import readable
from studio.manager.families import Blueprint, family_for

PARTIAL = ".partial-"  # `importing` builds a folder under its name and this; it is renamed when complete
LOCK = ".lock"
MAX_NAME = 80  # bytes of a folder's name that tell its original's; with all that is put behind, a disk takes 255
IMPORTED = "imported"  # where they lie, below our own folder of the outputs


@dataclass(frozen=True)
class Conversion:
    """What is to be converted, and the folder that it will be."""

    info: ModelInfo
    file: Path
    dtype: str  # fp32, bf16, fp16
    target: Path
    beside: tuple[Path, ...] = ()  # the files of other models that it takes components from

    @property
    def name(self) -> str:
        """The file's name, as it may be shown."""
        return readable(self.file.name)

    @property
    def complete(self) -> bool:
        return (self.target / "model_index.json").is_file()

    @property
    def current(self) -> bool:
        """Whether all files are still those that the folder is named for."""
        try:
            now = conversion_of(self.info, self.file, self.dtype, self.target.parent, self.beside)
        except StudioError:
            return False
        return now.target == self.target

    @property
    def in_sight(self) -> bool:
        """Whether the folders of all files can be seen."""
        return all(file.parent.is_dir() for file in (self.file, *self.beside))

    def replaces(self, other: "Conversion") -> bool:
        """Whether the other folder was made of the same for the same, but for what lies beside it."""
        mine, theirs = (
            (one.file, one.dtype, one.info.family, one.info.variant, one.info.capabilities.prediction)
            for one in (self, other)
        )
        return mine == theirs and self.target != other.target


def blueprint_of(info: ModelInfo) -> Blueprint:
    """What the file leaves out; raises ModelError where that is not known here."""
    blueprint = family_for(info).blueprint
    if blueprint is None:
        raise ModelError(f"{info.title} cannot be used: single files of its family cannot be completed here.")
    return blueprint


def conversion_of(info: ModelInfo, file: Path, dtype: str, place: Path, beside: tuple[Path, ...] = ()) -> Conversion:
    """The conversion of a file, with those `beside` it, as they stand now, to a folder below `place`; raises ModelError."""
    file, place = file.absolute(), place.absolute()
    beside = tuple(other.absolute() for other in beside)
    try:
        stat = file.stat()
        others = [(str(other), other.stat().st_size, other.stat().st_mtime_ns) for other in beside]
    except OSError:
        raise ModelError(f"{info.title}, or a file that it needs, is no longer in the models folders.") from None
    made_from = (
        str(file),
        stat.st_size,
        stat.st_mtime_ns,
        info.family,
        info.variant,
        info.capabilities.prediction,
        dtype,
        *others,
    )
    completed_by = json.dumps(asdict(blueprint_of(info)), sort_keys=True, default=sorted)  # sets have no order
    stamp = hashlib.sha256(f"{made_from} {completed_by}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    words = re.sub(r"[^\w.-]+", "_", file.stem).replace(PARTIAL, "_")
    name = words.encode("utf-8", "replace")[:MAX_NAME].decode("utf-8", "ignore")
    return Conversion(info, file, dtype, place / f"{name}-{stamp}", beside)


def write_note(conversion: Conversion) -> None:
    """What the folder is made of, beside it; in ASCII, for names on disk are not always text."""
    note = {
        "info": conversion.info.model_dump(mode="json"),
        "file": str(conversion.file),
        "dtype": conversion.dtype,
        "beside": [str(file) for file in conversion.beside],
    }
    conversion.target.parent.mkdir(parents=True, exist_ok=True)
    _note_file(conversion.target).write_text(json.dumps(note))


def discard_partial(conversion: Conversion) -> None:
    """Take away what a conversion left half made, and its note if no folder came of it."""
    for partial in conversion.target.parent.glob(f"{glob.escape(conversion.target.name)}{PARTIAL}*"):
        shutil.rmtree(partial, ignore_errors=True)
    if not conversion.complete:
        with suppress(OSError):
            _note_file(conversion.target).unlink(missing_ok=True)


def prepared_in(
    place: Path,
    models: list[ModelInfo],
    path: Callable[[str], Path | None],
    beside: Callable[[ModelInfo], tuple[Path, ...]],
) -> tuple[str, ...]:
    """Ids of those `models`, which lie at `path(id)`, that have a folder here made from them, and what is `beside` them, as
    they are now."""
    known = {info.id: info for info in models}
    notes = [note for folder in _folders(place) if (note := _read(folder)) is not None and note.complete]
    made = {note.target.absolute() for note in notes}
    found = set()
    for note in notes:
        info = known.get(note.info.id)
        here = path(note.info.id)
        if info is None or here is None or here.absolute() != note.file:
            continue
        with suppress(StudioError):
            if conversion_of(info, note.file, note.dtype, place, beside(info)).target in made:
                found.add(info.id)
    return tuple(sorted(found))


def sweep(place: Path) -> None:
    """Remove what is of no use: folders whose original changed or is gone, and what dead processes left half made.

    A folder is kept while its original's folder cannot be seen, as with a disk that is not plugged in.
    """
    try:
        with claimed(place, wait=False) as alone:
            if alone:  # else somebody converts just now, and sees to it
                sweep_claimed(place)
    except OSError:
        return  # a folder that cannot be written costs room, nothing else


def sweep_claimed(place: Path) -> None:
    """The same for who holds the claim already."""
    for folder in _folders(place):
        known = _read(folder)
        if known is None or (known.in_sight and not known.current):
            shutil.rmtree(folder, ignore_errors=True)
    for left in _listed(place):
        if PARTIAL in left.name:
            shutil.rmtree(left, ignore_errors=True)
        elif left.suffix == ".json" and not left.with_name(left.name.removesuffix(".json")).is_dir():
            with suppress(OSError):
                left.unlink(missing_ok=True)


def sweep_replaced(conversion: Conversion) -> None:
    """Remove what a complete conversion stands in for, as for who holds the claim: its text encoder gave way to a better."""
    for folder in _folders(conversion.target.parent):
        known = _read(folder)
        if known is not None and conversion.replaces(known):
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                _note_file(folder).unlink(missing_ok=True)


@contextmanager
def claimed(place: Path, *, wait: bool) -> Iterator[bool]:
    """Hold the one right to convert into `place`, in this process or any other; yields whether it was had.

    The system lets go of it when a process ends, however it ends. Raises OSError where nothing can be written.
    """
    if not wait and not place.is_dir():
        yield False
        return
    place.mkdir(parents=True, exist_ok=True)
    with open(place / LOCK, "ab") as file:
        yield _lock(file, wait)


def _lock(file: IO[bytes], wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on this system: conversions of two studios may meet, and both are right
        return wait
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _folders(place: Path) -> list[Path]:
    return [path for path in _listed(place) if path.is_dir() and PARTIAL not in path.name]


def _listed(place: Path) -> list[Path]:
    try:
        return sorted(place.iterdir())
    except OSError:
        return []


def _read(folder: Path) -> Conversion | None:
    """What a folder's note says; None for a folder that nobody can tell the origin of."""
    try:
        note = json.loads(_note_file(folder).read_bytes())
        info, beside = ModelInfo.model_validate(note["info"]), tuple(map(Path, note.get("beside", ())))
        return Conversion(info, Path(note["file"]), str(note["dtype"]), folder, beside)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _note_file(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")
