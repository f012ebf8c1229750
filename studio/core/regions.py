"""Which part of a picture a model sees, as boxes in pixels. Pure geometry: no pictures, no models."""

import re
from dataclasses import dataclass
from typing import NamedTuple

Size = tuple[int, int]  # (width, height)
_BOX = re.compile(r"\s*(-?\d{1,6})\s*[,x ]\s*(-?\d{1,6})\s*[,x ]\s*(\d{1,6})\s*[,x ]\s*(\d{1,6})\s*")


class Sides(NamedTuple):
    """Pixels beyond each edge of a picture."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def around(self, size: Size) -> Size:
        """The size of a picture with that much more on each side."""
        return size[0] + self.left + self.right, size[1] + self.top + self.bottom

    def within(self, size: Size) -> Size:
        """The inverse: the size of the picture that one of `size` was extended from."""
        return size[0] - self.left - self.right, size[1] - self.top - self.bottom


@dataclass(frozen=True)
class Box:
    """A rectangle in a picture; it may reach beyond the picture's edges."""

    left: int
    top: int
    width: int
    height: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError("must be at least 1 pixel wide and high")

    def __str__(self) -> str:
        return f"{self.left},{self.top},{self.width},{self.height}"

    @property
    def right(self) -> int:
        return self.left + self.width

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def size(self) -> Size:
        return self.width, self.height

    @staticmethod
    def parse(text: str) -> "Box":
        """Of "left,top,width,height". Raises ValueError."""
        found = _BOX.fullmatch(text)
        if found is None:
            raise ValueError("must be left,top,width,height in pixels, like 10,20,128,128")
        return Box(*(int(number) for number in found.groups()))

    @staticmethod
    def whole(size: Size) -> "Box":
        return Box(0, 0, *size)

    def moved(self, right: int, down: int) -> "Box":
        return Box(self.left + right, self.top + down, self.width, self.height)

    def padded(self, pixels: int) -> "Box":
        return Box(self.left - pixels, self.top - pixels, self.width + 2 * pixels, self.height + 2 * pixels)

    def within(self, size: Size) -> "Box | None":
        """The part of it that lies in a picture of that size; None if there is none."""
        left, top = max(self.left, 0), max(self.top, 0)
        width, height = min(self.right, size[0]) - left, min(self.bottom, size[1]) - top
        return Box(left, top, width, height) if width > 0 and height > 0 else None

    def common(self, other: "Box") -> "Box | None":
        """The part that both have; None if there is none."""
        found = self.moved(-other.left, -other.top).within(other.size)
        return found and found.moved(other.left, other.top)

    def contains(self, other: "Box") -> bool:
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )


def widened(box: Box, shape: Size, size: Size) -> Box:
    """The least box of that shape (width : height) around `box`, moved into a picture of `size` as far as it fits."""
    width = max(box.width, -(-box.height * shape[0] // shape[1]))
    height = max(box.height, -(-box.width * shape[1] // shape[0]))
    return _placed(box, (width, height), size)


def narrowed(box: Box, shape: Size, around: Box) -> Box | None:
    """The largest box of that shape within `box`, with `around` in its middle as far as it fits; None if it does not hold
    `around`."""
    width = min(box.width, max(1, box.height * shape[0] // shape[1]))
    height = min(box.height, max(1, box.width * shape[1] // shape[0]))
    placed = _placed(around.moved(-box.left, -box.top), (width, height), box.size).moved(box.left, box.top)
    return placed if placed.contains(around) else None


def _placed(middle: Box, extent: Size, size: Size) -> Box:
    """A box of `extent` about the middle of `middle`, moved into a picture of `size`; one that is too large has the picture
    in its own middle."""
    at = []
    for start, length, wanted, most in zip((middle.left, middle.top), middle.size, extent, size, strict=True):
        begin = start + (length - wanted) // 2
        at.append((most - wanted) // 2 if wanted > most else min(max(begin, 0), most - wanted))
    return Box(at[0], at[1], *extent)
