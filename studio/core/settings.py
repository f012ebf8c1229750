"""How the studio was started: one frozen value, built from flags by `app.py` or the CLI and handed in. No globals."""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

PROJECT = Path(__file__).resolve().parents[2]
OWN_MODELS = PROJECT / "models"  # the starters are in it
_UNITS = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


class Settings(BaseModel):
    """Everything decided at start-up. Sizes are bytes; `memory_budget` None means: what the device has, less a headroom."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", title="Host", description="Address to bind. Anything but loopback needs --auth.")
    port: int = Field(7860, ge=0, le=65535, title="Port", description="Port to listen on; 0 takes a free one.")
    models: tuple[Path, ...] = Field(
        (OWN_MODELS,),
        title="Models",
        description="Another folder that holds models, or a file like extra_model_paths.yaml that names some; may be given more "
        "than once.",
    )
    outputs: Path = Field(
        PROJECT / "outputs", title="Outputs", description="Folder for images, the queue and the index."
    )
    runs: Path = Field(PROJECT / "runs", title="Runs", description="Folder of training runs.")
    presets: Path = Field(
        PROJECT / "presets", title="Presets", description="Folder of presets, styles and training recipes."
    )
    wildcards: Path = Field(
        PROJECT / "wildcards",
        title="Wildcards",
        description="Folder of text files: __name__ in a prompt is a line of name.txt.",
    )
    device: str = Field("auto", title="Device", description="auto, cpu, cuda, cuda:0, mps.")
    memory_budget: int | None = Field(
        None,
        ge=1,
        title="Memory budget",
        description="Most memory for models, like 8GiB; the device's own less a headroom if not given.",
    )
    traces: int = Field(
        2 * 2**30,
        ge=0,
        title="Traces",
        description="Most disk space for traces of runs, from which a picture can be branched, like 2GiB; the oldest are "
        "removed first. 0 keeps none.",
    )
    attention: Literal["sdpa", "xformers", "sliced"] = Field(
        "sdpa",
        title="Attention",
        description="Kernel of attention: PyTorch's own (sdpa), xformers where it runs, or sliced, which takes least memory.",
    )
    auth: str | None = Field(None, repr=False, title="Auth", description="user:password asked of every visitor.")
    allow_hosts: tuple[str, ...] = Field(
        (), title="Allow host", description="Another name that visitors call the studio by, as behind a proxy."
    )
    open_browser: bool = Field(True, title="Open browser", description="Open the page when the studio is ready.")

    @field_validator("memory_budget", "traces", mode="before")
    @classmethod
    def _bytes(cls, value: object) -> object:
        return parse_bytes(value) if isinstance(value, str) else value

    @field_validator("device")
    @classmethod
    def _named_as_torch_does(cls, value: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d{1,2})?", value):
            raise ValueError("must be auto, cpu, mps, cuda, or cuda:0 and so on")
        return value

    @field_validator("auth")
    @classmethod
    def _user_and_password(cls, value: str | None) -> str | None:
        if value is not None and not all(value.partition(":")[::2]):
            raise ValueError("must be user:password")
        return value


def parse_bytes(text: str) -> int:
    """ "8GiB", "8G", "512MB", "123" -> bytes (powers of 1024). Raises ValueError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?\s*", text.lower())
    if not match:
        raise ValueError(f"{text!r} is not a size; write it like 8GiB or 512MiB")
    return int(float(match[1]) * _UNITS[match[2]])
