"""Training runs and recipes as others see them. Plain values; what a recipe's settings mean is `studio.training.config`'s."""

from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict

RunState = Literal["running", "paused", "done", "failed"]
RecipeGroup = Literal["first", "own", "plane", "few", "tiny", "shipped", "emoji", ""]
RECIPE_GROUPS: dict[RecipeGroup, str] = {  # in the order in which they are offered; "" is for recipes that name none
    "first": "Start here",
    "own": "Your own pictures",
    "": "Other recipes",
    "plane": "Points in the plane",
    "few": "Few steps, from a teacher",
    "tiny": "A tiny model of each kind",
    "shipped": "The shipped models",
    "emoji": "Emoji scenes",
}


class FieldView(BaseModel):
    """A setting of a recipe, by its dotted name, with what a form needs to show it."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    help: str
    kind: str  # as `core.fields.Kind`; "values" are sent and shown as JSON
    value: Any
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    group: str = ""
    first: bool = False  # shown at once; others are behind a fold


class RecipeView(BaseModel):
    """A recipe that a run can be started from. `config` is the whole recipe; `about` says what it makes and what it needs."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    group: RecipeGroup = ""
    group_title: str = ""
    about: str = ""
    minutes: float | None = None  # that it took, on `measured_on`
    measured_on: str = ""
    problem: str = ""  # one sentence on why it cannot be started here
    config: dict[str, Any]
    fields: tuple[FieldView, ...] = ()


class RunView(BaseModel):
    """One run at one moment. Times are seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    id: str  # its folder's name
    title: str
    kind: str  # of its task: "pixels", "density", ...
    state: RunState
    waits: bool = False  # while pictures are made
    step: int = 0
    steps: int = 0
    left: float | None = None  # seconds to the end, while it runs
    step_seconds: float | None = None
    figures: dict[str, float] = {}  # the latest: loss, norm, ...
    batch: int = 1
    changed: float = 0.0
    samples: tuple[int, ...] = ()  # steps of which there is a sample
    message: str = ""  # why it failed
    model: str = ""  # id in the catalog of the model that was exported from it
    exportable: bool = False  # it has ended with a model that pipelines can load


class PictureView(BaseModel):
    """A picture as it is trained on, small."""

    model_config = ConfigDict(frozen=True)

    name: str  # of its file; empty where it was drawn
    caption: str
    picture: str  # data:image/jpeg;base64,...
    width: int
    height: int


class DataView(BaseModel):
    """What a recipe would be trained on."""

    model_config = ConfigDict(frozen=True)

    pictures: int | None  # None: without end
    captioned: int = 0
    small: int = 0  # pictures that have fewer pixels than they are trained with
    buckets: tuple[tuple[int, int, int], ...] = ()  # width, height, pictures
    first: tuple[PictureView, ...] = ()
    bad: tuple[tuple[str, str], ...] = ()  # the first files that were left out, and why
    bad_count: int = 0


class Runs(Protocol):
    """The studio's training runs. Every method raises StudioError with one sentence for a person."""

    def recipes(self) -> list[RecipeView]: ...

    def all(self) -> list[RunView]:
        """Newest first."""

    def get(self, run: str) -> RunView: ...

    def metrics(self, run: str, after: int = 0) -> tuple[int, list[dict[str, Any]]]:
        """Reports of figures from position `after` on, and the position to ask from next."""

    def sample(self, run: str, step: int) -> Path:
        """The PNG of the sample of that step."""

    def report(self, run: str) -> str:
        """The run as one HTML file that opens without the studio."""

    def weights(self, run: str, step: int) -> Path:
        """The averaged weights at that sample, of a run whose task keeps them (densities do), as safetensors."""

    def look(self, recipe: str, changes: dict[str, Any], *, anywhere: bool = True) -> DataView:
        """The data of the recipe with `changes`: counts, the first pictures, what was left out.

        Unless `anywhere`, a person's own pictures must have been uploaded.
        """

    def new_upload(self) -> Path:
        """Where to write a zip that is being uploaded."""

    def keep_upload(self, part: Path, name: str) -> str:
        """Keep an uploaded zip of pictures, or remove it and raise; what `data.folder` is to be."""

    def start(self, recipe: str, changes: dict[str, Any], *, anywhere: bool = True) -> str:
        """Start a run of the recipe with `changes` by dotted name; its id. `anywhere` as for `look`."""

    def pause(self, run: str) -> None:
        """Ask the run for a checkpoint and its end; `resume` goes on from there."""

    def resume(self, run: str) -> None: ...

    def sample_now(self, run: str) -> None: ...

    def fork(self, run: str) -> str:
        """A copy, paused at the newest checkpoint; its id."""

    def delete(self, run: str) -> None: ...

    def export(self, run: str) -> str:
        """Put the trained model among the others; its id in the catalog."""
