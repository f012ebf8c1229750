"""Text to image: the prompt is all. A model for inpainting is given nothing to keep, as AUTOMATIC1111 has it."""

from typing import Any

from PIL import Image

from studio.core.tasks import TextToImage
from studio.engine.effects import TASK_EFFECTS, Context, Effect


def arguments(task: TextToImage, context: Context) -> dict[str, Any]:
    if not context.takes("mask_image"):
        return {}
    grey, everywhere = Image.new("RGB", context.size, "gray"), Image.new("L", context.size, 255)
    return {"image": grey, "mask_image": everywhere, "strength": 1.0}


TASK_EFFECTS.add("text_to_image", Effect(arguments))
