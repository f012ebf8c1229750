"""A ControlNet (Zhang et al. 2023): a picture, such as edges or depth, that the result is to follow."""

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field

from studio.core.errors import InvalidRequest
from studio.core.fields import Integer, Name, extra
from studio.core.parts.control_unit import ControlUnit

if TYPE_CHECKING:
    from studio.core.models import ModelInfo


UNION = "union"  # the variant of a file for several kinds of control
# family -> annotator's name up to the first "_" -> number of the kind, as the files' publishers count them: xinsir's for
# SDXL, InstantX' and Shakker's for FLUX.1.
MODES: dict[str, dict[str, int]] = {
    "sdxl": {
        "openpose": 0, "depth": 1, "softedge": 2, "scribble": 2, "canny": 3, "threshold": 3, "invert": 3, "lineart": 3,
        "mlsd": 3, "normal": 4, "segmentation": 5, "blur": 6,
    },
    "flux": {"canny": 0, "depth": 2, "blur": 3, "openpose": 4},
}  # fmt: skip


class ControlNet(ControlUnit):
    kind: Literal["controlnet"] = "controlnet"
    title: ClassVar[str] = "ControlNet"
    plural: ClassVar[str] = "ControlNets"
    help: ClassVar[str] = "Have the picture follow another one: its edges, depth or pose."
    many: ClassVar[bool] = True
    flag: ClassVar[str] = "control"
    model_kind: ClassVar[str] = "controlnet"

    model: Name = Field(
        "",
        title="ControlNet",
        description="The ControlNet's file or folder. Empty: the only one here that fits the model.",
        json_schema_extra=extra(widget="model", model_kind="controlnet"),
    )
    control_mode: Integer | None = Field(
        None,
        ge=0,
        le=63,
        title="Control mode",
        description="Of a ControlNet for several kinds of control (union): the number of the kind. Empty: the annotator's.",
        json_schema_extra=extra(advanced=True, placeholder="the annotator's"),
    )

    @property
    def call_kind(self) -> str:
        return self.kind if self.control_mode is None else "controlnet_union"

    def with_file(self, file: "ModelInfo", model: "ModelInfo") -> Self:
        """A union's kind of control is chosen from the annotator; for others there is none."""
        mode = self.control_mode
        if file.variant != UNION:
            mode = None
        elif mode is None:
            known = MODES.get(model.family or "", {})
            mode = known.get(self.annotator.partition("_")[0])
            if mode is None:
                raise InvalidRequest(
                    f"{file.title} is for several kinds of control: choose an annotator that it knows "
                    f"({', '.join(known)}), or give the number of the kind as control mode.",
                    field="control_mode",
                )
        return self.model_copy(update={"model": file.id, "control_mode": mode})
