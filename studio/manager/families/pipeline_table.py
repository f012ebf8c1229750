"""What is known of each pipeline class of diffusers, read from `pipelines.json`.

`scripts/pipelines_table.py` writes that file from the source of the installed diffusers; nothing here reads source or
imports diffusers.
"""

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("pipelines.json")


@dataclass(frozen=True)
class Row:
    """One pipeline class. The file leaves out a fact that is as its default here."""

    refused: str = ""  # why it does not make an image from a prompt alone; what is below is then left out, save `takes`
    takes: tuple[str, ...] = ()  # of the table's `parameters`, those that its call has
    loops: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"scheduler": ("transformer",)})
    # scheduler -> the components that predict in its denoising loop, in the order in which the loops run
    main: str = "scheduler"  # the scheduler of the loop that a request's sampler, steps and CFG are for
    guidance: str | None = "guidance_scale"  # the call's parameter for that loop's CFG
    guided_only: bool = False  # fails where CFG is 1 or less
    guider: bool = False  # a component guides, as its configuration says
    negative: bool = True  # a negative prompt changes the picture
    steps: int = 28  # as its call has them, like the next three
    guidance_scale: float = 4.0
    width: int = 1024
    height: int = 1024
    fixed_size: bool = False  # makes the size that its denoiser was trained for
    sizes: tuple[tuple[int, int], ...] = ()  # the only (width, height) that it makes
    multiple: int = 16  # pixels that a size is to be a multiple of
    cells: int = 1  # and latent cells
    area: int | None = None  # latent cells a side of the square whose area all its pictures have
    alone: bool = False  # makes one picture at a time
    precise: bool = False  # works in fp32 alone
    unscaled: bool = False  # does not scale the state before the denoiser sees it
    passes_generator: bool = False  # hands every step of its scheduler a generator
    one_call_a_step: bool = False  # keeps an estimate of each step, so the scheduler may ask once for each
    copies_scheduler: bool = False
    whole_timesteps: bool = False  # looks levels up by timesteps, which have to be whole numbers
    flow_levels: bool = False  # lays out a flow's noise levels as UniPC takes them
    encoders: tuple[str, ...] = ("text_encoder",)  # the components that run before the main loop
    decoder: str | None = "vae"
    cells_first: bool = False  # where 2 x 2 cells are folded into channels, the cells vary slower than the channels
    needs: dict[str, str] = field(default_factory=dict)  # components that it cannot be made without -> their class


@functools.cache
def row_of(pipeline: str) -> Row | None:
    """None for a name that is no pipeline of diffusers."""
    values = _table()["pipelines"].get(pipeline)
    return None if values is None else Row(**{name: _frozen(value) for name, value in values.items()})


def accepts(pipeline: str, parameter: str) -> bool:
    """Whether the call of a pipeline takes the parameter. Raises ValueError for a parameter that the table leaves out."""
    if parameter not in _table()["parameters"]:
        raise ValueError(f"{FILE.name} does not say which pipelines take {parameter}")
    row = row_of(pipeline)
    return row is not None and parameter in row.takes


def takes_generator(scheduler: str) -> bool:
    """Whether the `step` of a scheduler class takes a generator."""
    return scheduler in _table()["schedulers_with_generator"]


@functools.cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return table


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return {key: _frozen(one) for key, one in value.items()} if isinstance(value, dict) else value
