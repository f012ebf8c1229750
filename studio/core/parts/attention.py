"""Asks a run to record where each word of the prompt looks: its attention, which goes into the run's trace.

Changes nothing of the picture.
"""

from typing import ClassVar, Literal

from pydantic import Field

from studio.core.fields import ImageHash, Integer
from studio.core.parts.base import PartBase


class Attention(PartBase):
    kind: Literal["attention"] = "attention"
    title: ClassVar[str] = "Attention"
    plural: ClassVar[str] = "attention maps"
    help: ClassVar[str] = (
        "Record, for each layer and step, how much of its attention each place of the picture pays to each word. The softmax is "
        "computed once more, and the trace grows by side x side x words x layers numbers a step."
    )
    offered: ClassVar[bool] = False

    side: Integer = Field(
        16, ge=4, le=64, title="Side", description="Most cells a side of a map; larger ones are averaged down to it."
    )
    heads: bool = Field(
        False,
        title="Each head",
        description="Record each head of a layer by itself, not only their mean: as many times the size.",
    )
    image: ImageHash | None = Field(
        None,
        title="Picture made again",
        description="Hash of the pixels of the picture that this run repeats. If it comes out the same, its trace gains the "
        "attention and no second picture is archived.",
    )

    @property
    def repeats(self) -> str | None:
        return self.image
