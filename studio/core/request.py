"""What a person asks for: `GenerationRequest`, a core that every picture has, one task, and parts.

Form, command line, HTTP API and infotext are drawn from the fields of these values (`core.fields`). What a given model
accepts is checked where the model is known (`core.options.resolve`). A request is frozen, hashable and JSON-clean.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    field_validator,
    model_validator,
)

from studio.core.fields import Integer, Name, Number, explain, extra, specs
from studio.core.parts import Part
from studio.core.tasks import Task, TextToImage, task_with
from studio.core.upgrade import upgrade

MAX_PROMPT = 10_000
MAX_PARTS = 32
MAX_SIDE = 4096
MAX_SEED = 2**64 - 1  # the largest that torch takes
EXACT = 2**53 - 1  # the largest integer that a browser and most JSON readers carry exactly
RANDOM_SEED = -1
DEFAULT = "default"

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
Syntax = Literal["a1111", "literal"]
# Read from a number or from text; written to JSON as text where a browser would round the number.
Seed = Annotated[Integer, PlainSerializer(lambda seed: seed if seed <= EXACT else str(seed), when_used="json")]


class GenerationRequest(BaseModel):
    """`count` images of a prompt. Image k has the noise of `seed + k` alone, whatever the batch size."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: Name = Field(DEFAULT, title="Model", description="The checkpoint that makes the image.")
    prompt: str = Field("", title="Prompt", description="What the picture should show, in words.")
    negative_prompt: str = Field(
        "",
        title="Negative prompt",
        description="What the picture should not show. It takes the place of the empty prompt in guidance.",
    )
    syntax: Syntax = Field(
        "a1111",
        title="Prompt syntax",
        json_schema_extra=extra(
            advanced=True, choices=(("a1111", "Prompt language"), ("literal", "As written")), infotext="Prompt syntax"
        ),
        description="The prompt language is A1111's: (word:1.2), [from:to:0.4], [a|b], BREAK, AND, {a|b}, __wildcard__, "
        "<lora:name:0.8>; a backslash before a bracket makes it a plain one. As written: every character is a word's.",
    )
    clip_skip: Integer = Field(
        1,
        ge=1,
        le=12,
        title="Clip skip",
        json_schema_extra=extra(advanced=True, infotext="Clip skip"),
        description="Which layer of CLIP is read, from its end: 1 is the last, 2 the last but one. SDXL and SD 3 read the last "
        "but one in any case.",
    )
    sampler: Name = Field(
        DEFAULT,
        title="Sampler",
        description="The solver that walks from noise to image. The model's own unless you choose another.",
    )
    spacing: Name = Field(
        DEFAULT,
        title="Spacing",
        description="How the noise levels of the steps are spread. The model's own unless you choose another.",
    )
    steps: Integer = Field(
        20,
        ge=1,
        le=1000,
        title="Steps",
        json_schema_extra=extra(per_model=True, soft=(1, 60, 1), infotext="Steps"),
        description="Denoising steps. More steps follow the path more closely and take longer.",
    )
    guidance_scale: Number = Field(
        5.0,
        ge=0.0,
        le=50.0,
        title="CFG",
        json_schema_extra=extra(per_model=True, soft=(0, 15, 0.5), infotext="CFG scale", flag="cfg"),
        description="Classifier-free guidance: how far to push from the unconditional towards the conditional prediction. 1 is no guidance.",
    )
    guidance_rescale: Number = Field(
        0.0,
        ge=0.0,
        le=1.0,
        title="Guidance rescale",
        json_schema_extra=extra(soft=(0, 1, 0.05), advanced=True, infotext="Guidance rescale"),
        description="Pulls the guided prediction's contrast back to the conditional one's (Lin et al. 2023). 0 is off.",
    )
    width: Integer | None = Field(
        None,
        ge=8,
        le=MAX_SIDE,
        title="Width",
        description="Pixels, a multiple of 8. Empty: the model's own.",
        json_schema_extra=extra(infotext="Size-1"),
    )
    height: Integer | None = Field(
        None,
        ge=8,
        le=MAX_SIDE,
        title="Height",
        description="Pixels, a multiple of 8. Empty: the model's own.",
        json_schema_extra=extra(infotext="Size-2"),
    )
    seed: Seed = Field(
        RANDOM_SEED,
        ge=RANDOM_SEED,
        le=MAX_SEED,
        title="Seed",
        json_schema_extra=extra(infotext="Seed"),
        description="The number that decides the noise. -1 draws a new one.",
    )
    count: Integer = Field(1, ge=1, le=256, title="Count", description="How many images; image k has seed + k.")
    batch_size: Integer = Field(
        1,
        ge=1,
        le=64,
        title="Batch size",
        description="How many of them are denoised together. Never changes an image's noise.",
    )
    dtype: Dtype = Field(
        "auto",
        title="Precision",
        description="Number format of the run. auto: what measures fastest on this device. bf16 and fp16 take half the memory, "
        "but many times as long on a processor that lacks them.",
    )
    previews: bool = Field(
        True, title="Previews", description="Show each step while it runs and keep it for the scrubber."
    )
    task: Task = Field(TextToImage(), title="Task", description="What is done, and what it starts from.")
    parts: tuple[Part, ...] = Field(
        (), max_length=MAX_PARTS, title="Parts", description="What is added to the model: a VAE, LoRAs, ControlNets."
    )

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, values: Any) -> Any:
        return upgrade(values) if isinstance(values, dict) else values

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _plain_text(cls, value: str) -> str:
        if len(value) > MAX_PROMPT:
            raise ValueError(f"is {len(value):,} characters long; at most {MAX_PROMPT:,} are accepted")
        if "\x00" in value:
            raise ValueError("contains a NUL character; remove it")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise ValueError("contains half of a character (a lone surrogate); type or paste it again")
        return value

    @field_validator("width", "height")
    @classmethod
    def _multiple_of_eight(cls, value: int | None) -> int | None:
        if value is not None and value % 8:
            low = value - value % 8
            raise ValueError(f"must be a multiple of 8; {low} and {low + 8} are the nearest to {value}")
        return value

    @model_validator(mode="after")
    def _seeds_stay_in_range(self) -> "GenerationRequest":
        if self.seed + self.count - 1 > MAX_SEED:
            raise ValueError(f"Seed + count is past {MAX_SEED}, the largest seed")
        return self

    @model_validator(mode="after")
    def _one_of_a_kind(self) -> "GenerationRequest":
        kinds = [part.kind for part in self.parts if not part.many]
        if twice := next((part for part in self.parts if kinds.count(part.kind) > 1), None):
            raise ValueError(f"There may be only one {twice.title} in a request")
        return self

    def changed(self, **values: Any) -> "GenerationRequest":
        """The request with other values, checked anew."""
        return GenerationRequest(**(dict(self) | values))

    def images(self) -> dict[str, str]:
        """Path of a field -> hash, of all pictures that it starts from or needs: {"task.image": ..., "parts.0.image": ...}."""
        values = {"task": self.task, **{f"parts.{number}": part for number, part in enumerate(self.parts)}}
        return {f"{path}.{name}": digest for path, value in values.items() for name, digest in value.images().items()}

    @property
    def parent(self) -> str | None:
        """`pixels` of the picture that it goes on from, or starts from."""
        return next((part.parent for part in self.parts if part.parent), self.task.images().get("image"))

    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal requests, equal digests."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def request_of(settings: dict[str, Any], store: Callable[[Any], str]) -> GenerationRequest:
    """A request from settings by name, those of the task among them; these choose the task: a picture means image to image.
    `store` keeps a picture and gives its hash. Raises InvalidRequest."""
    core = {name: value for name, value in settings.items() if name in GenerationRequest.model_fields}
    rest = {name: value for name, value in settings.items() if name not in core}
    if rest:
        kind = task_with(rest)
        pictures = {name for name, spec in specs(kind).items() if spec.kind == "image"}
        stored = {
            name: store(value) if name in pictures and value is not None else value for name, value in rest.items()
        }
        core["task"] = {"kind": kind.model_fields["kind"].default} | stored
    return parse_request(core)


def parse_request(values: dict[str, Any]) -> GenerationRequest:
    """Build a request from untrusted values; raises InvalidRequest with one sentence and the field it belongs to."""
    try:
        return GenerationRequest(**values)
    except ValidationError as error:
        raise explain(error, GenerationRequest, values) from None
