"""Another autoencoder in place of the model's own."""

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from studio.core.fields import Name, extra
from studio.core.parts.base import PartBase

if TYPE_CHECKING:
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest


class VAE(PartBase):
    kind: Literal["vae"] = "vae"
    title: ClassVar[str] = "VAE"
    plural: ClassVar[str] = "VAEs"
    help: ClassVar[str] = "Decode with another autoencoder than the model's own."
    model_kind: ClassVar[str] = "vae"

    model: Name = Field(
        title="VAE",
        description="The autoencoder's file that decodes in place of the model's own.",
        json_schema_extra=extra(widget="model", model_kind="vae", infotext="VAE"),
    )

    @classmethod
    def implied(cls, request: "GenerationRequest", model: "ModelInfo") -> "VAE | None":
        return cls(model=model.vae) if model.vae else None
