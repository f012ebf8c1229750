"""What every part is: a frozen value with a `kind` that adds something to a model's run: a VAE, a LoRA, a ControlNet."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict

from studio.core.errors import InvalidRequest
from studio.core.fields import specs

if TYPE_CHECKING:
    from studio.core.annotators import Annotate
    from studio.core.models import ModelInfo
    from studio.core.request import GenerationRequest
    from studio.core.stages import Stage
    from studio.core.traces import ReadTrace


class PartBase(BaseModel):
    """A part's fields hold all that decides what it does. `kind` names it everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    title: ClassVar[str]
    plural: ClassVar[str]
    help: ClassVar[str]
    offered: ClassVar[bool] = True  # whether the form and the command line show it among the others
    many: ClassVar[bool] = False  # whether a request may have several of the kind
    flag: ClassVar[str] = ""  # on the command line, without dashes, beside its kind
    model_kind: ClassVar[str] = ""  # the kind of file that its `model` field names; empty where it names none
    rows: ClassVar[bool] = False  # whether its tab lists every file that fits, to be switched on and off
    syntax: ClassVar[str] = ""  # how the command line shows its value; empty: its fields, by name

    def images(self) -> dict[str, str]:
        """Field -> hash of the pictures that it needs."""
        pictures = [name for name, spec in specs(type(self)).items() if spec.kind == "image"]
        return {name: digest for name in pictures if (digest := getattr(self, name))}

    @property
    def call_kind(self) -> str:
        """What a family names the pipeline class by that it needs; its kind, where all files of the kind need one."""
        return self.kind

    def with_file(self, file: "ModelInfo", model: "ModelInfo") -> Self:
        """The part with the file that its `model` names. Raises InvalidRequest at the part's own field."""
        return self.model_copy(update={"model": file.id})

    @property
    def parent(self) -> str | None:
        """`pixels` of the picture that the run goes on from, where the part says so."""
        return None

    @property
    def repeats(self) -> str | None:
        """`pixels` of the picture that the run makes again for another record of it, where the part says so."""
        return None

    @classmethod
    def implied(cls, request: "GenerationRequest", model: "ModelInfo") -> "PartBase | None":
        """The part that the model brings with it where the request has none of the kind; None for most."""
        return None

    def resolved(self, request: "GenerationRequest", model: "ModelInfo") -> "PartBase":
        """The part with the model's own values in place of what was not given. Raises InvalidRequest for what does not fit;
        its field is the part's own, such as "weight"."""
        return self

    def check(self, request: "GenerationRequest", read_trace: "ReadTrace") -> None:
        """Raises InvalidRequest where a resolved request does not go with the traces that it needs; its field is the part's
        own."""

    def prepared(self, request: "GenerationRequest", annotate: "Annotate") -> Self:
        """The part with the pictures that have still to be made for it, before a resolved request is queued. Raises
        InvalidRequest at the part's own field."""
        return self

    def stages(self, stages: "tuple[Stage, ...]", model: "ModelInfo") -> "tuple[Stage, ...]":
        """The run's stages with those that this part adds or changes; as they are for most."""
        return stages

    @classmethod
    def words(cls, file: "ModelInfo") -> tuple[str, ...]:
        """What a person may write into the prompt for a file of the kind."""
        return file.triggers

    @classmethod
    def parse(cls, text: str) -> dict[str, Any]:
        """Fields from the command line's "VALUE,name=value,...": the first is the first field's."""
        names = list(specs(cls))
        values: dict[str, Any] = {}
        for number, item in enumerate(text.split(",")):
            name, equals, value = item.partition("=")
            if not equals and number == 0:
                name, value = names[0], item
            elif name.strip() not in names:
                raise InvalidRequest(f"{cls.title} has no setting {name.strip()!r}; it has: {', '.join(names)}.")
            values[name.strip()] = value.strip()
        return values
