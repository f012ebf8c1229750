"""Asks a run to record where each word of the prompt looks: its cross-attention, which goes into the run's trace.

Changes nothing of the picture.
"""

from typing import ClassVar, Literal

from pydantic import Field

from studio.core.fields import Integer
from studio.core.parts.base import PartBase


class Attention(PartBase):
    kind: Literal["attention"] = "attention"
    title: ClassVar[str] = "Attention"
    plural: ClassVar[str] = "attention maps"
    help: ClassVar[str] = (
        "Record the cross-attention of each layer at each step, averaged over heads. The softmax is computed once more, and the "
        "trace grows by side x side x tokens x layers numbers a step."
    )
    offered: ClassVar[bool] = False

    side: Integer = Field(
        16, ge=4, le=64, title="Side", description="Most cells a side of a map; larger ones are averaged down to it."
    )
