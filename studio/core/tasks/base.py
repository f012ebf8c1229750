"""What every task is: a frozen value with a `kind`, its own fields, and how many of a run's steps it really takes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from PIL import Image
from pydantic import BaseModel, ConfigDict

from studio.core.fields import specs

if TYPE_CHECKING:
    from studio.core.models import ModelInfo

ReadImage = Callable[[str], Image.Image]  # a picture of the input store by its hash; raises NotFound


class TaskBase(BaseModel):
    """A task's fields hold all that decides the picture beside the request's core. `kind` names it everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: str
    title: ClassVar[str]
    help: ClassVar[str]
    offered: ClassVar[bool] = True  # whether a person may ask for it; a stage's own task is not

    def images(self) -> dict[str, str]:
        """Field -> hash of the pictures that it needs."""
        pictures = [name for name, spec in specs(type(self)).items() if spec.kind == "image"]
        return {name: digest for name in pictures if (digest := getattr(self, name))}

    def steps_run(self, steps: int, partial: str) -> int:
        """How many of `steps` the pipeline runs; `partial` is how it rounds, `Capabilities.partial_steps`."""
        return steps

    def resolved(self, model: "ModelInfo") -> "TaskBase":
        """The task with what suits the model in place of what was not given."""
        return self

    def prompt_help(self, model: "ModelInfo") -> str:
        """What the prompt should describe, in a sentence for people; empty where there is nothing special to say."""
        return ""

    def check(self, read_image: ReadImage) -> None:
        """Raises InvalidRequest where the task's pictures do not go together; its field is the task's own, such as "mask"."""
