"""The recipe: the resolved request plus everything else that decided the pixels. Written into the PNG and the archive.

Knows the PNG text keys and nothing of pipelines. Two texts stand side by side in a file: `unnoise` (this JSON) and
`parameters` (the AUTOMATIC1111 text of `core.infotext`).
"""

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from studio.core.request import GenerationRequest, Seed
from studio.core.samplers import corrected_since

RECIPE_KEY = "unnoise"
PARAMETERS_KEY = "parameters"


class Recipe(BaseModel):
    """Enough to make the image again, or to say what differs. `seed` is this one image's own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # 1: before tasks and parts; its request is upgraded where it is read. 2: inpainting gave the model's own picture.
    # 3: before the prompt language.
    version: int = 4
    request: GenerationRequest  # resolved; its seed and count are the job's
    # What the prompts' random parts became for this image; None where they have none.
    prompt: str | None = None
    negative_prompt: str | None = None
    index: int  # which image of the job
    seed: Seed
    model: str
    model_title: str
    family: str
    pipeline: str
    scheduler: str  # diffusers class that stepped
    weights: dict[str, str]  # component or file -> sha256 of its weights
    dtype: str  # the dtype really used
    memory_format: str = "contiguous"  # or "channels_last": it decides which kernels run
    attention: str = "sdpa"  # the kernel that attended: PyTorch's own, "xformers" or "sliced"
    device: str
    rng: str = "cpu"  # where noise is drawn
    libraries: dict[str, str]  # name -> version
    notes: tuple[str, ...] = ()  # whatever else touched the pixels, such as a fallback on out-of-memory
    pixels: str | None = None  # sha256 of the RGB bytes
    parent: str | None = None  # `pixels` of the picture that it was made from

    @model_validator(mode="before")
    @classmethod
    def _of_any_version(cls, values: Any) -> Any:
        """As this version writes it."""
        if not isinstance(values, dict) or values.get("version", 3) >= 3:
            return values
        request = values.get("request")
        if not isinstance(request, dict) or not isinstance(request.get("task"), dict):
            return values
        task: dict[str, Any] = request["task"]
        if task.get("kind") == "inpaint":
            task = {"mask_grow": 0, "blend": False} | task
            values = values | {"request": request | {"task": task}}
        return values | ({"parent": task["image"]} if "image" in task else {})

    @model_validator(mode="before")
    @classmethod
    def _prompts_as_they_were_read(cls, values: Any) -> Any:
        """Before version 4 a prompt was read as it is written, brackets and all."""
        request = values.get("request") if isinstance(values, dict) else None
        if isinstance(request, dict) and isinstance(values.get("version"), int) and values["version"] < 4:
            return values | {"request": {"syntax": "literal"} | request}
        return values

    @property
    def as_run(self) -> GenerationRequest:
        """The request with what its random parts became for this image."""
        if self.prompt is None or self.negative_prompt is None:
            return self.request
        return self.request.model_copy(update={"prompt": self.prompt, "negative_prompt": self.negative_prompt})


def pixel_hash(mode: str, size: tuple[int, int], data: bytes) -> str:
    """SHA-256 over mode, size and raw bytes of a picture, independent of how the file is compressed."""
    return hashlib.sha256(f"{mode} {size[0]}x{size[1]}\n".encode() + data).hexdigest()


def differences(then: Recipe, now: Recipe) -> list[str]:
    """One short sentence for each thing that differs between two recipes and can change pixels; empty if none."""
    out: list[str] = []
    for name in ("model", "scheduler", "dtype", "memory_format", "attention", "device", "rng", "pipeline"):
        a, b = getattr(then, name), getattr(now, name)
        if a != b:
            out.append(f"{name}: was {a}, is {b}")
    if then.notes != now.notes:  # a fallback on out-of-memory, say: tiles change pixels
        out.append(f"notes: was {'; '.join(then.notes) or 'none'}, is {'; '.join(now.notes) or 'none'}")
    request = then.request
    corrected = corrected_since(request.sampler, request.spacing, then.libraries.get("unnoise", ""))
    out += [corrected] if corrected else []
    out += _dict_differences("weights of", then.weights, now.weights)
    out += _dict_differences("", then.libraries, now.libraries)
    return out


def _dict_differences(prefix: str, then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    rows = []
    for key in sorted(then.keys() | now.keys()):
        a, b = then.get(key, "absent"), now.get(key, "absent")
        if a != b:
            rows.append(f"{prefix} {key}: was {str(a)[:12]}, is {str(b)[:12]}".strip())
    return rows


def to_text(recipe: Recipe) -> str:
    return json.dumps(recipe.model_dump(mode="json"), ensure_ascii=True, separators=(",", ":"))


def from_text(text: str) -> Recipe:
    """Raises pydantic.ValidationError if the text is not a recipe."""
    return Recipe.model_validate_json(text)
