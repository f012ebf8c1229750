"""A LoRA (Hu et al. 2021): small matrices added to a model's layers, for a style, a subject or a method."""

from typing import ClassVar, Literal

from pydantic import Field

from studio.core.fields import Name, Number, extra
from studio.core.parts.base import PartBase


class LoRA(PartBase):
    kind: Literal["lora"] = "lora"
    title: ClassVar[str] = "LoRA"
    plural: ClassVar[str] = "LoRAs"
    help: ClassVar[str] = "Add a style or a subject to the model."
    many: ClassVar[bool] = True
    model_kind: ClassVar[str] = "lora"

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
        json_schema_extra=extra(advanced=True),
    )
