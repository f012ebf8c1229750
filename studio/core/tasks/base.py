"""What every task is: a frozen value with a `kind`, its own fields, and how many of a run's steps it really takes."""

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from studio.core.fields import specs


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
