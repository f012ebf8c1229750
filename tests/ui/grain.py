"""A kind of part that only the tests know, with a field of every kind: the form must need nothing to take it."""

from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, ValidationError

from studio.core.fields import ImageHash, Name, Number, explain, extra
from studio.core.parts import PARTS, VAE, Cascade, PartBase
from studio.core.request import GenerationRequest


class Grain(PartBase):
    kind: Literal["grain"] = "grain"
    title: ClassVar[str] = "Grain"
    plural: ClassVar[str] = "grains"
    help: ClassVar[str] = "Film grain."
    many: ClassVar[bool] = True
    model_kind: ClassVar[str] = "vae"

    model: Name = Field(title="Film", json_schema_extra=extra(widget="model", model_kind="vae"))
    weight: Number = Field(0.5, ge=0.0, le=2.0, title="Weight", json_schema_extra=extra(soft=(0, 1, 0.05)))
    sample: ImageHash | None = Field(None, title="Sample", json_schema_extra=extra(widget="image"))
    mode: Literal["add", "mix"] = Field("add", title="Mode")
    colour: bool = Field(False, title="Colour")


class GrainyRequest(GenerationRequest):
    """A request that may have grains."""

    parts: tuple[Annotated[VAE | Cascade | Grain, Field(discriminator="kind")], ...] = ()  # type: ignore[assignment]


def register(patch: pytest.MonkeyPatch) -> None:
    """As a line in `core.parts` would: the form and its request know the kind until the patch is undone."""
    patch.setitem(PARTS, "grain", Grain)
    patch.setattr("studio.ui.form.parse_request", parse)


def parse(values: dict[str, Any]) -> GrainyRequest:
    try:
        return GrainyRequest(**values)
    except ValidationError as error:
        raise explain(error, GrainyRequest, values) from None
