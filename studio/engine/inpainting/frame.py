"""The part of a picture that the model sees, brought to the model's size and back.

A region may reach beyond the picture; what lies outside is filled with the picture's edge and thrown away again.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.core.regions import Box, Size, narrowed, widened
from studio.core.tasks import Inpaint


@dataclass(frozen=True)
class Frame:
    """`seen` in a picture of `canvas` size, shown to the model at `size`."""

    canvas: Size
    seen: Box
    size: Size

    @property
    def inside(self) -> Box:
        """What of `seen` lies in the picture."""
        found = self.seen.within(self.canvas)
        assert found is not None
        return found

    @property
    def placed(self) -> Box:
        """Where that lies in the model's picture."""
        edges = []
        for begin, end, start, length, run in (
            (self.inside.left, self.inside.right, self.seen.left, self.seen.width, self.size[0]),
            (self.inside.top, self.inside.bottom, self.seen.top, self.seen.height, self.size[1]),
        ):
            first = min(round((begin - start) * run / length), run - 1)
            edges.append((first, max(round((end - start) * run / length), first + 1)))
        (left, right), (top, bottom) = edges
        return Box(left, top, right - left, bottom - top)

    def shown(self, picture: Image.Image, resample: Image.Resampling = Image.Resampling.LANCZOS) -> Image.Image:
        """The region of `picture` at the model's size."""
        part, placed = self.inside, self.placed
        inner = picture.crop((part.left, part.top, part.right, part.bottom))
        if inner.size != placed.size:
            inner = inner.resize(placed.size, resample)
        if placed.size == self.size:
            return inner
        around = [(placed.top, self.size[1] - placed.bottom), (placed.left, self.size[0] - placed.right)]
        pixels = np.asarray(inner)
        return Image.fromarray(np.pad(pixels, [*around, *[(0, 0)] * (pixels.ndim - 2)], mode="edge"))

    def returned(self, made: Image.Image) -> Image.Image:
        """The model's picture at the size of `inside`, without what lay outside."""
        placed = self.placed
        inner = made.crop((placed.left, placed.top, placed.right, placed.bottom))
        return inner if inner.size == self.inside.size else inner.resize(self.inside.size, Image.Resampling.LANCZOS)


def frame_of(task: Inpaint, canvas: Size, changed: Box, size: Size) -> Frame:
    """What the task's context means for a picture of `canvas` size of which `changed` is to be changed. Raises InvalidRequest."""
    whole = Box.whole(canvas)
    if task.context == "mask":
        wanted = changed.padded(task.padding).within(canvas) or whole
    elif task.context == "box":
        found = Box.parse(task.box).moved(task.sides.left, task.sides.top).within(canvas)
        if found is None or found.common(changed) is None:
            raise InvalidRequest("The box does not touch the mask, so nothing in it would change.", field="task.box")
        wanted = found
    else:
        wanted = whole
        if task.resize == "stretch":
            return Frame(canvas, whole, size)
        if task.resize == "crop" and (part := narrowed(whole, size, changed)):
            return Frame(canvas, part, size)
    return Frame(canvas, widened(wanted, size, canvas), size)
