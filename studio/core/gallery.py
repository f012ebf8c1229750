"""What is asked of the gallery and what it answers: a query with filters and a place in the list, a page of pictures, counts.

Plain values; what they mean in SQL is in `jobs.gallery`.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from studio.core.jobs import ImageView

PAGE = 200  # pictures in one answer
MOST = 500
SORTS = ("newest", "oldest", "largest")
TERM = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>\S+))')

Text = Annotated[str, Field(max_length=300)]
Act = Literal["trash", "restore", "favour", "unfavour", "purge"]
ImageId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]


class Filters(BaseModel):
    """Which pictures. What is empty filters nothing; `search` are words that the prompt has, or with a minus has not."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    search: Annotated[str, Field(max_length=1000)] = ""
    model: Text = ""
    task: Text = ""
    sampler: Text = ""
    lora: Text = ""
    size: Annotated[str, Field(pattern=r"^([0-9]{1,5}x[0-9]{1,5})?$")] = ""
    favourites: bool = False
    trash: bool = False  # those in the trash, and no others
    since: float | None = None  # seconds since the epoch
    until: float | None = None  # likewise, exclusive

    def terms(self) -> tuple[list[str], list[str]]:
        """(words and "phrases" that the prompt must have, those that it must not have), whatever their case."""
        wanted: list[str] = []
        unwanted: list[str] = []
        for found in TERM.finditer(self.search):
            text = (found["phrase"] if found["phrase"] is not None else found["word"]).casefold().strip()
            if text and text != "-":
                (unwanted if found["minus"] else wanted).append(text)
        return wanted, unwanted


class GalleryQuery(Filters):
    """A page of those pictures: `limit` of them, after `cursor` (from an earlier answer) and after `skip` more."""

    sort: Literal["newest", "oldest", "largest"] = "newest"
    cursor: Annotated[str, Field(pattern=r"^([0-9.e+-]{1,40}:-?[0-9]{1,18})?$")] = ""
    skip: Annotated[int, Field(ge=0, le=10_000_000)] = 0
    limit: Annotated[int, Field(ge=1, le=MOST)] = PAGE


class GalleryImage(BaseModel):
    """A picture as a tile shows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    job: str
    index: int
    seed: str  # a browser's numbers do not hold every seed
    width: int
    height: int
    created: float
    prompt: str
    title: str  # of its model
    task: str
    favourite: bool


class Choice(BaseModel):
    """A value of a filter, and how many pictures have it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: str
    title: str
    count: int


class GalleryCounts(BaseModel):
    """How many pictures there are, and what those here, or those in the trash, can be filtered by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: int = 0
    favourites: int = 0
    trash: int = 0
    models: tuple[Choice, ...] = ()
    tasks: tuple[Choice, ...] = ()
    samplers: tuple[Choice, ...] = ()
    sizes: tuple[Choice, ...] = ()
    loras: tuple[Choice, ...] = ()


class GalleryPage(BaseModel):
    """`start` is the cursor before the first picture, `next` the one after the last, empty where no more follow. `total`, of
    the pictures that the filters fit, comes with the first page only."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: tuple[GalleryImage, ...]
    start: str = ""
    next: str = ""
    total: int | None = None


class Relatives(BaseModel):
    """A picture's descent: what it was made from, the latest first, and what was made from it, the newest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    made_from: tuple[ImageView, ...] = ()
    made_into: tuple[ImageView, ...] = ()
    source: str = ""  # the hash of the picture that it started from, in the input store, where that was not made here


class Done(BaseModel):
    """How many pictures something was done with, and the first reason why it could not be done with others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    done: int
    problem: str = ""


def described(recipe: dict[str, Any]) -> dict[str, str]:
    """What pictures are found by, of a recipe as JSON of any version: a column of the index each."""
    request = _of(recipe, "request", {})
    task = _of(request, "task", {})
    parts = [part for part in _of(request, "parts", []) if isinstance(part, dict)]
    prompt = recipe.get("prompt")
    model = str(recipe.get("model") or request.get("model") or "")
    return {
        "words": str(request.get("prompt", "") if prompt is None else prompt).casefold(),
        "model": model,
        "title": str(recipe.get("model_title") or model),
        "task": str(task.get("kind", "text_to_image")),
        "sampler": str(request.get("sampler", "")),
        "loras": "".join(f"\n{part['model']}\n" for part in parts if part.get("kind") == "lora" and part.get("model")),
        "parent": str(recipe.get("parent") or task.get("image") or ""),
    }


def _of(values: dict[str, Any], name: str, default: Any) -> Any:
    value = values.get(name, default)
    return value if isinstance(value, type(default)) else default
