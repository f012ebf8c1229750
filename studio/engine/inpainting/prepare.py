"""Everything that a run needs of the source and its mask, made once before the pipeline is called; and the way back."""

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from studio.core.errors import InvalidRequest
from studio.core.pictures import as_mask, opaque
from studio.core.regions import Box, Size
from studio.core.tasks import Inpaint
from studio.core.tasks.base import ReadImage
from studio.engine.inpainting import masks
from studio.engine.inpainting.blend import blended, matched
from studio.engine.inpainting.content import started_from
from studio.engine.inpainting.frame import Frame, frame_of
from studio.engine.inpainting.masks import Mask


@dataclass(frozen=True)
class Prepared:
    """`picture`, `known` and `change` are as the model sees them; `blend` is at the size of `source`."""

    task: Inpaint
    source: Image.Image  # the person's picture, extended
    frame: Frame
    picture: Image.Image  # what the model starts from
    known: Image.Image  # the same region as it is
    change: Mask  # (h, w): what the model may change
    soft: bool  # whether the mask has grey that means less change
    blend: Mask  # (height, width) of the source
    notes: tuple[str, ...] = field(default=())

    @property
    def mask(self) -> Image.Image:
        """White wherever anything may change: what pipelines that take a mask are given."""
        return Image.fromarray(((self.change > 0) * 255).astype(np.uint8))

    def framed(self, picture: Image.Image) -> Image.Image:
        """Another picture of the same, such as a control image, as the model sees this one."""
        size = self.task.sides.within(self.source.size)
        return self.frame.shown(_extended(picture if picture.size == size else picture.resize(size), self.task))

    def finished(self, made: Image.Image) -> Image.Image:
        """The source with the model's picture in the mask, at the source's size."""
        part = self.frame.inside
        rows, columns = slice(part.top, part.bottom), slice(part.left, part.right)
        returned = self.frame.returned(matched(made.convert("RGB"), self.known, self.change))
        whole = np.array(self.source)
        whole[rows, columns] = blended(whole[rows, columns], np.asarray(returned), self.blend[rows, columns])
        return Image.fromarray(whole)


def prepared(task: Inpaint, read_image: ReadImage, size: Size) -> Prepared:
    """For a model that sees pictures of `size`. Raises InvalidRequest where mask, box and picture do not go together."""
    picture = opaque(read_image(task.image))
    painted, notes = _painted(task, read_image, picture.size)
    source = _extended(picture, task)
    change = masks.changed_by_model(painted, task.mask_grow, task.mask_feather)
    soft = masks.is_soft(change)
    if not soft:
        change = masks.hardened(change)
    changed = _bounds(change)
    if changed is None:
        raise InvalidRequest(
            "The mask is all black, so nothing would change: paint white what is to be made anew.", field="task.mask"
        )
    frame = frame_of(task, source.size, changed, size)
    blend = masks.put_back(painted, change, task.mask_grow + task.mask_feather // 2)
    known = frame.shown(source)
    seen = _seen(change, frame, soft)
    return Prepared(task, source, frame, started_from(known, seen, task.content), known, seen, soft, blend, notes)


def _painted(task: Inpaint, read_image: ReadImage, size: Size) -> tuple[Mask, tuple[str, ...]]:
    """The mask over the extended picture, white beyond the picture's edges; and what is to be said of it."""
    notes: tuple[str, ...] = ()
    mask = np.zeros((size[1], size[0]), dtype=np.float32)
    if task.mask is not None:
        given = as_mask(read_image(task.mask))
        if given.size != size:
            notes = (f"The mask of {given.width} × {given.height} was resized to the picture's {size[0]} × {size[1]}.",)
            given = given.resize(size, Image.Resampling.BILINEAR)
        mask = masks.as_array(given)
    return np.pad(mask, _margins(task), constant_values=1.0), notes


def _extended(picture: Image.Image, task: Inpaint) -> Image.Image:
    """With its edge drawn on into what is added, until the model paints it."""
    if not any(task.sides):
        return picture
    return Image.fromarray(np.pad(np.asarray(picture), [*_margins(task), (0, 0)], mode="edge"))


def _margins(task: Inpaint) -> list[tuple[int, int]]:
    sides = task.sides
    return [(sides.top, sides.bottom), (sides.left, sides.right)]


def _bounds(mask: Mask) -> Box | None:
    rows, columns = np.flatnonzero((mask > 0).any(1)), np.flatnonzero((mask > 0).any(0))
    if not len(rows):
        return None
    return Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1)


def _seen(change: Mask, frame: Frame, soft: bool) -> Mask:
    """The mask at the model's size; a hard one stays hard, and made smaller it holds every pixel that it touches."""
    part, placed = frame.inside, frame.placed
    inner = Image.fromarray(np.rint(change[part.top : part.bottom, part.left : part.right] * 255).astype(np.uint8))
    smaller = placed.width < part.width
    if inner.size != placed.size:
        inner = inner.resize(placed.size, Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR)
    whole = np.zeros((frame.size[1], frame.size[0]), dtype=np.float32)
    whole[placed.top : placed.bottom, placed.left : placed.right] = masks.as_array(inner)
    return whole if soft else (whole > (0 if smaller else 0.5)).astype(np.float32)
