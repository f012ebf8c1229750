"""What a trace says of itself: the metadata of the safetensors file that holds one picture's run, step by step.

Names and values alone: `jobs/traces.py` keeps the files, `manager/disk/traces.py` reads their headers, and the engine writes
and plays them back.
"""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import InvalidRequest, NotFound
from studio.core.recipe import Recipe

FORMAT, VERSION = "unnoise trace", 1
SUFFIX = ".safetensors"


class NoTrace(NotFound):
    """No trace is kept of a picture."""

    def __init__(self) -> None:
        InvalidRequest.__init__(
            self,
            "No trace of this picture's run is kept: it was removed for newer ones, or never made. Make the picture again to "
            "get one.",
        )
        self.kind, self.name, self.legal = "trace", "", []


class AttentionLayer(BaseModel):
    """A layer whose attention was recorded, as the tensor `attention.<its number>`: (steps, heads, words, height, width)."""

    model_config = ConfigDict(frozen=True)

    name: str
    height: int
    width: int
    heads: int = 1  # 1: their mean


class Attention(BaseModel):
    """At each place the shares of all words sum to 1. Of joint attention, the last "word" is the picture itself."""

    model_config = ConfigDict(frozen=True)

    words: tuple[str, ...]  # the prompt's tokens; those that pad it are one
    marks: tuple[int, ...] = ()  # which of them are no words of the prompt: start, end, padding, the picture
    layers: tuple[AttentionLayer, ...]


class TraceInfo(BaseModel):
    """The metadata. `rows`: of the tensor `raw`, for each call of the scheduler, one for each image that the denoiser saw."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    recipe: Recipe
    prediction: str
    steps: int
    calls: int
    rows: tuple[int, ...]
    used_rows: int = 1  # of the tensor `guided`, for each call
    cond_row: int | None = None  # of a call's rows, the conditional prediction
    uncond_row: int | None = None
    resumed: int = 0  # steps before this one were made by another sampler
    reseeded: tuple[tuple[int, int], ...] = ()  # (step, seed): the noise from this step on
    attention: Attention | None = None


ReadTrace = Callable[[str], TraceInfo]  # of a picture, by its `pixels`; raises InvalidRequest


def metadata_of(info: TraceInfo) -> dict[str, str]:
    """As safetensors keeps it."""
    return {"format": FORMAT, "version": str(VERSION), "trace": info.model_dump_json()}


def info_in(metadata: dict[str, Any]) -> TraceInfo:
    """Raises InvalidRequest for what is no trace, or one of another version."""
    if metadata.get("format") != FORMAT:
        raise InvalidRequest("This file is not a trace of a run.")
    if metadata.get("version") != str(VERSION):
        raise InvalidRequest(
            f"This trace is of version {str(metadata.get('version'))[:20]}, and this program reads version {VERSION}: make "
            "the picture again to get one."
        )
    try:
        info = TraceInfo.model_validate_json(metadata.get("trace", ""))
    except ValidationError:
        raise InvalidRequest("The metadata of this trace is damaged.") from None
    if not 0 < info.steps <= info.calls == len(info.rows) or min(info.rows) < 1 or info.used_rows < 1:
        raise InvalidRequest("The metadata of this trace contradicts itself.")
    return info
