"""What a person asks for: `GenerationRequest`, the one declaration of each field's bounds, title and help.

The form, the CLI and the HTTP API are drawn from it. It refuses to know about models: what a given model accepts is
checked where the model is known (`core.options.check`). A request is frozen, hashable and JSON-clean.
"""

import hashlib
import json
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from studio.core.errors import InvalidRequest

MAX_PROMPT = 10_000
MAX_SIDE = 4096
MAX_SEED = 2**64 - 1  # the largest that torch takes
EXACT = 2**53 - 1  # the largest integer that a browser and most JSON readers carry exactly
RANDOM_SEED = -1
DEFAULT = "default"

Dtype = Literal["auto", "fp32", "bf16", "fp16"]
Name = Annotated[str, StringConstraints(max_length=300)]
# Read from a number or from text; written to JSON as text where a browser would round the number.
Seed = Annotated[int, PlainSerializer(lambda seed: seed if seed <= EXACT else str(seed), when_used="json")]


class GenerationRequest(BaseModel):
    """One wish: `count` images of a prompt. Image k has the noise of `seed + k` alone, whatever the batch size."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: Name = Field(DEFAULT, title="Model", description="The checkpoint that makes the image.")
    prompt: str = Field("", title="Prompt", description="What the picture should show, in words.")
    negative_prompt: str = Field(
        "",
        title="Negative prompt",
        description="What the picture should not show. It takes the place of the empty prompt in guidance.",
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
    steps: int = Field(
        20,
        ge=1,
        le=1000,
        title="Steps",
        json_schema_extra={"per_model": True},
        description="Denoising steps. More steps follow the path more closely and take longer.",
    )
    guidance_scale: float = Field(
        5.0,
        ge=0.0,
        le=50.0,
        title="CFG",
        json_schema_extra={"per_model": True},
        description="Classifier-free guidance: how far to push from the unconditional towards the conditional prediction. 1 is no guidance.",
    )
    guidance_rescale: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        title="Guidance rescale",
        description="Pulls the guided prediction's contrast back to the conditional one's (Lin et al. 2023). 0 is off.",
    )
    width: int | None = Field(
        None, ge=8, le=MAX_SIDE, title="Width", description="Pixels, a multiple of 8. Empty: the model's own."
    )
    height: int | None = Field(
        None, ge=8, le=MAX_SIDE, title="Height", description="Pixels, a multiple of 8. Empty: the model's own."
    )
    upper_steps: int | None = Field(
        None,
        ge=1,
        le=1000,
        title="Upper stages' steps",
        description="Steps of each model that enlarges the first one's picture. Empty: that model's own.",
    )
    upper_guidance_scale: float | None = Field(
        None,
        ge=0.0,
        le=50.0,
        title="Upper stages' CFG",
        description="Classifier-free guidance of the models that enlarge the picture. Empty: each one's own.",
    )
    noise_level: int | None = Field(
        None,
        ge=0,
        le=999,
        title="Noise level",
        description="How much noise is put on a picture before the next model enlarges it (Ho et al. 2021): more leaves that model more to invent. Empty: its own.",
    )
    seed: Seed = Field(
        RANDOM_SEED,
        ge=RANDOM_SEED,
        le=MAX_SEED,
        title="Seed",
        description="The number that decides the noise. -1 draws a new one.",
    )
    count: int = Field(1, ge=1, le=256, title="Count", description="How many images; image k has seed + k.")
    batch_size: int = Field(
        1,
        ge=1,
        le=64,
        title="Batch size",
        description="How many of them are denoised together. Never changes an image's noise.",
    )
    dtype: Dtype = Field(
        "auto", title="Precision", description="Number format of the run. auto: what measures fastest on this device."
    )
    previews: bool = Field(
        True, title="Previews", description="Show each step while it runs and keep it for the scrubber."
    )

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

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_not_one(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) and info.field_name != "previews":
            raise ValueError("must be a value, not true or false")
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

    def digest(self) -> str:
        """SHA-256 of the canonical JSON: equal requests, equal digests."""
        return hashlib.sha256(json.dumps(self.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()


def parse_request(values: dict[str, Any]) -> GenerationRequest:
    """Build a request from untrusted values; raises InvalidRequest with one sentence and the field it belongs to."""
    try:
        return GenerationRequest(**values)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_context=False)[0]
        raise _one_sentence(first, values) from None


def _one_sentence(first: dict[str, Any], values: dict[str, Any]) -> InvalidRequest:
    name = str(first["loc"][0]) if first["loc"] else None
    info = GenerationRequest.model_fields.get(name) if name else None
    reason = first["msg"].removeprefix("Value error, ")
    if name is None or info is None:
        what = f"There is no setting called {name!r}." if name else f"{reason}."
        return InvalidRequest(what, field=name)
    got = values.get(name)
    if first["type"].startswith("value_error"):
        return InvalidRequest(f"{info.title} {reason}.", field=name)
    scalar = _scalar(info.annotation)
    kind = _KINDS.get(scalar) or f"one of {', '.join(get_args(scalar))}"
    expected = " ".join(word for word in (kind, _range(name)) if word)
    return InvalidRequest(f"{info.title} must be {expected}; got {_shown(got)}.", field=name)


_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


def _scalar(annotation: Any) -> Any:
    """`int` for `int | None`; the annotation itself otherwise."""
    arguments = [a for a in getattr(annotation, "__args__", ()) if a is not type(None)]
    return arguments[0] if len(arguments) == 1 else annotation


def bounds(name: str) -> tuple[Any, Any]:
    """(least, greatest) value of a field, None where it has none; for sliders and `--help`."""
    metadata = GenerationRequest.model_fields[name].metadata
    least = next((m.ge for m in metadata if getattr(m, "ge", None) is not None), None)
    most = next((m.le for m in metadata if getattr(m, "le", None) is not None), None)
    return least, most


def _range(name: str) -> str:
    least, most = bounds(name)
    if least is None or most is None:
        return ""
    return f"from {least:g} to {most:,}" if isinstance(most, int) else f"from {least:g} to {most:g}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
