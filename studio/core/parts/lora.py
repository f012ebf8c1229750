"""A LoRA (Hu et al. 2021): small matrices added to a model's layers, for a style, a subject or a method."""

import re
from typing import Any, ClassVar, Literal

from pydantic import Field

from studio.core.fields import Name, Number, extra
from studio.core.parts.base import PartBase

WEIGHTS = re.compile(r"(?P<name>[^,]*?)(:(?P<weight>[-+.\d]*))(:(?P<text_weight>[-+.\d]*))?")


class LoRA(PartBase):
    kind: Literal["lora"] = "lora"
    title: ClassVar[str] = "LoRA"
    plural: ClassVar[str] = "LoRAs"
    help: ClassVar[str] = "Add a style or a subject to the model."
    many: ClassVar[bool] = True
    model_kind: ClassVar[str] = "lora"
    rows: ClassVar[bool] = True
    syntax: ClassVar[str] = "NAME[:WEIGHT[:TEXT_WEIGHT]]"

    model: Name = Field(
        title="LoRA", description="The LoRA's file.", json_schema_extra=extra(widget="model", model_kind="lora")
    )
    weight: Number = Field(
        1.0,
        ge=-4.0,
        le=4.0,
        title="Weight",
        description="How much of it is added to the denoiser. 0 is nothing.",
        json_schema_extra=extra(soft=(0, 1.5, 0.05)),
    )
    text_weight: Number | None = Field(
        None,
        ge=-4.0,
        le=4.0,
        title="Text encoder weight",
        description="How much of it is added to the text encoders, where the file has a part for them. Empty: as Weight.",
        json_schema_extra=extra(advanced=True, placeholder="as Weight"),
    )

    @classmethod
    def parse(cls, text: str) -> dict[str, Any]:
        """ "NAME:0.8:0.6", or as other parts are written: "NAME,weight=0.8,text_weight=0.6"."""
        first, comma, rest = text.partition(",")
        short = WEIGHTS.fullmatch(first)
        if short is None:
            return super().parse(text)
        weights = {name: short[name] for name in ("weight", "text_weight") if short[name]}
        return super().parse(short["name"] + comma + rest) | weights
