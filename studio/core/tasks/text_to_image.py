"""A picture from words alone, or from nothing where the model takes no prompt."""

from typing import ClassVar, Literal

from studio.core.tasks.base import TaskBase


class TextToImage(TaskBase):
    kind: Literal["text_to_image"] = "text_to_image"
    title: ClassVar[str] = "Text to image"
    help: ClassVar[str] = "Describe a picture and watch it come out of the noise, step by step."
