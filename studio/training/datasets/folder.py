"""A person's own pictures, in a folder or a zip, as a data set: checked, captioned, cropped to one size or to buckets.

Files that cannot be used are left out and named. Independent of what is trained.
"""

import hashlib
import json
import math
from collections import defaultdict
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps

from studio.core.errors import InvalidRequest
from studio.core.pictures import opaque, read_header
from studio.core.settings import PROJECT
from studio.metadata.decoding import decoded
from studio.training.datasets.captions import Bad, Captions, class_of
from studio.training.datasets.registry import datasets
from studio.training.datasets.sources import Source, source

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
NOT_PICTURES = (".txt", ".csv", ".json", ".jsonl", ".md", ".yaml", ".toml", ".ini", ".db", ".npz", ".safetensors")
HELD_OUT = 10  # one in so many pictures is held out, where there are twice as many
FARTHEST = 2.0  # longest side of a bucket against its shortest

Shape = tuple[int, int]  # width, height


@dataclass(frozen=True)
class Entry:
    """A picture that can be used, `width` x `height` when upright, which counts `repeats` times."""

    name: str
    captions: tuple[str, ...]
    width: int
    height: int
    repeats: int


@dataclass(frozen=True)
class Listing:
    """What a folder holds. `bad` names what was left out, each with a sentence."""

    source: Source
    entries: tuple[Entry, ...]
    bad: tuple[tuple[str, str], ...]
    version: str  # another one for other files


@dataclass(frozen=True, slots=True)
class Example:
    image: np.ndarray  # [h, w, 3] uint8
    caption: str


def listing(folder: str) -> Listing:
    """Every picture of a folder or zip, each decoded once. Raises InvalidRequest where there is none."""
    if not folder.strip():
        raise InvalidRequest("Choose a folder or a zip with pictures.", field="data.folder")
    path = PROJECT / Path(folder.strip()).expanduser()
    found = source(path)
    version = hashlib.sha256(json.dumps([str(path), found.version()]).encode()).hexdigest()[:16]
    listed = _listed(path, version)
    if not listed.entries:
        first = f" {listed.bad[0][0]}: {listed.bad[0][1]}" if listed.bad else ""
        raise InvalidRequest(f"{path.name} holds no picture that can be read.{first}", field="data.folder")
    return listed


@lru_cache(maxsize=4)
def _listed(path: Path, version: str) -> Listing:
    found = source(path)
    bad: Bad = []
    captions = Captions(found.names(), found.read, bad)
    entries = []
    for name in found.names():
        suffix = PurePosixPath(name).suffix.lower()
        if suffix not in SUFFIXES:
            if suffix not in NOT_PICTURES:
                bad.append((name, "Only PNG, JPEG, WebP and BMP pictures are read."))
            continue
        try:
            width, height = _measured(found.read(name))
        except InvalidRequest as error:
            bad.append((name, str(error)))
        else:
            entries.append(Entry(name, captions.of(name), width, height, class_of(name)[1]))
    return Listing(found, tuple(entries), tuple(sorted(bad)), version)


def _measured(data: bytes) -> Shape:
    """The size of the upright picture, which is decoded to see that it is whole: a JPEG at an eighth of its size."""
    header = read_header(data)
    with decoded(data, least=1) as picture:
        turned = (picture.width > picture.height) != (header.width > header.height)
    return (header.height, header.width) if turned else (header.width, header.height)


def bucket_shapes(size: int) -> list[Shape]:
    """Shapes of about size x size pixels, no side of which is more than twice the other; sides in steps of an eighth, at
    most 64."""
    step = min(64, max(16, size // 8))
    wide = {(size, size)}
    for width in range(size, int(size * FARTHEST) + 1, step):
        height = size * size // width // step * step
        if height and width <= FARTHEST * height:
            wide.add((width, height))
    return sorted(wide | {(height, width) for width, height in wide})


def nearest_shape(width: int, height: int, shapes: list[Shape]) -> Shape:
    """The shape of the most similar ratio of sides, and of several the largest."""
    return min(shapes, key=lambda s: (abs(math.log(width * s[1] / (height * s[0]))), -s[0] * s[1]))


@datasets.register("folder")
class OwnPictures:
    """Any index gives an example: they repeat after the last one. With `flip`, the second half is the first one mirrored."""

    def __init__(
        self,
        folder: str = "",
        size: int = 512,  # side in pixels, or that of the square with as many pixels
        seed: int = 0,
        crop: str = "centre",  # centre | buckets
        flip: bool = False,
        split: str = "all",  # all | train | held_out
    ):
        self.listing = listing(folder)
        self._source, self._flip = self.listing.source, flip
        count = len(self.listing.entries)
        self.entries = [entry for i, entry in enumerate(self.listing.entries) if _belongs(i, count, split)]
        shapes = bucket_shapes(size) if crop == "buckets" else [(size, size)]
        self._shapes = [nearest_shape(entry.width, entry.height, shapes) for entry in self.entries]
        self.version = self.listing.version

    def __len__(self) -> int:
        return len(self.entries) * (2 if self._flip else 1)

    @property
    def buckets(self) -> dict[Shape, list[int]]:
        """Indices by the shape of their pictures."""
        out: dict[Shape, list[int]] = defaultdict(list)
        for index in range(len(self)):
            out[self._shapes[index % len(self.entries)]].append(index)
        return dict(sorted(out.items()))

    def repeats(self, index: int) -> int:
        """How often the picture counts beside the others."""
        return self.entries[index % len(self.entries)].repeats

    def __getitem__(self, index: int) -> Example:
        at = index % len(self.entries)
        entry = self.entries[at]
        try:
            with decoded(self._source.read(entry.name)) as found:
                picture = ImageOps.fit(opaque(found), self._shapes[at], Image.Resampling.LANCZOS)
        except InvalidRequest as error:
            raise InvalidRequest(f"{entry.name} could be read before and cannot now: {error}") from None
        if index % len(self) != at:
            picture = ImageOps.mirror(picture)
        return Example(np.asarray(picture), entry.captions[0] if entry.captions else "")

    def retellings(self, index: int, count: int) -> list[str]:
        """The other captions of the same picture."""
        return list(self.entries[index % len(self.entries)].captions[1 : count + 1])


def _belongs(index: int, count: int, split: str) -> bool:
    if split == "all" or count < 2 * HELD_OUT:
        return True
    return (index % HELD_OUT == HELD_OUT - 1) == (split == "held_out")
