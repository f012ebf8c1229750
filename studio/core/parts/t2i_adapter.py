"""A T2I-Adapter (Mou et al. 2023): a small network that has the result follow a picture, called once a run."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from studio.core.errors import InvalidRequest
from studio.core.fields import Name, extra
from studio.core.parts.control_unit import ControlUnit

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest


class T2IAdapter(ControlUnit):
    kind: Literal["t2i_adapter"] = "t2i_adapter"
    title: ClassVar[str] = "T2I-Adapter"
    plural: ClassVar[str] = "T2I-Adapters"
    help: ClassVar[str] = (
        "Have the picture follow another one, by a smaller network than a ControlNet. Text to image only."
    )
    many: ClassVar[bool] = True
    model_kind: ClassVar[str] = "t2i_adapter"

    model: Name = Field(
        "",
        title="T2I-Adapter",
        description="The T2I-Adapter's folder. Empty: the only one here that fits the model.",
        json_schema_extra=extra(widget="model", model_kind="t2i_adapter"),
    )

    def resolved(self, request: "GenerationRequest", model: "ModelInfo") -> Self:
        if any(part.kind == "controlnet" for part in request.parts):
            raise InvalidRequest(
                "ControlNets and T2I-Adapters do not go together in one picture; turn one kind off.", field="model"
            )
        if model.family == "sdxl" and any((side or 0) % 16 for side in (request.width, request.height)):
            raise InvalidRequest("With an SDXL T2I-Adapter, width and height must be multiples of 16.", field="model")
        return super().resolved(request, model)
