"""Inpaint: the region that the model sees, its mask, and the picture put back where the mask is.

A pipeline that takes a mask is given one. Grey, and pipelines that take none, are Differential Diffusion's
(`engine/differential.py`); those begin from the picture as image to image does.
"""

from typing import Any

import PIL.Image
import torch

from studio.core.tasks import Inpaint
from studio.engine import midway
from studio.engine.differential import DifferentialDiffusion
from studio.engine.effects import TASK_EFFECTS, Context, Effect
from studio.engine.inpainting.prepare import Prepared, prepared
from studio.engine.layout import spatial_of
from studio.engine.tasks.image_to_image import began_from, begun

KNOWN_NOISE = 0x9E3779B9  # sets the noise of what is kept apart from that of what is made, with the same seed


def prepared_for(task: Inpaint, context: Context) -> Prepared:
    """Made once for each call."""
    if "inpaint" not in context.kept:
        made = context.kept["inpaint"] = prepared(task, context.read_image, context.size)
        context.kept["framed"] = made.framed
        context.notes.extend(made.notes)
    return context.kept["inpaint"]


def arguments(task: Inpaint, context: Context) -> dict[str, Any]:
    made = prepared_for(task, context)
    for observer in observers(task, context):
        known = midway.encoded(made.known, context, [None] * len(context.images))
        observer.begin(known, _noise(known, context), torch.from_numpy(made.change))
    given = {"mask_image": made.mask} if context.takes("mask_image") else {}
    return begun(task, made.picture, context) | given


def observers(task: Inpaint, context: Context) -> tuple[DifferentialDiffusion, ...]:
    """One where the pipeline would take the mask for a hard one, or takes none."""
    if "differential" not in context.kept:
        needed = prepared_for(task, context).soft or not context.takes("mask_image")
        made = (DifferentialDiffusion(spatial_of(context.request, context.loaded)),) if needed else ()
        context.kept["differential"] = made
    return context.kept["differential"]


def finished(task: Inpaint, context: Context, picture: PIL.Image.Image) -> PIL.Image.Image:
    return prepared_for(task, context).finished(picture) if task.blend else picture


def _noise(known: torch.Tensor, context: Context) -> torch.Tensor:
    """(n, c, h, w), each image's from its own seed and from no generator of the pipeline's."""
    seeds = [(context.request.seed + k) ^ KNOWN_NOISE for k in context.images]
    shape = known[:1].shape
    drawn = [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.cat(drawn).to(known.device, known.dtype)


TASK_EFFECTS.add("inpaint", Effect(arguments, began_from, observers, finished))
