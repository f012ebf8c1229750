"""Where in its grid a run begins: at the first timestep that is really asked for, whichever way the pipeline cuts the grid.

diffusers' image-to-image pipelines cut `timesteps` and call `set_begin_index`; others only cut. Schedulers then look the
place up by timestep and take the second of two equal ones, which is right where every timestep occurs twice (Heun) and
wrong where rounding made two steps equal: a step is lost, and the run ends in an IndexError.
"""

from typing import Any

import torch


def index_of(scheduler: Any, timestep: Any, timesteps: torch.Tensor | None = None) -> int | None:
    """The place in the grid where a step at `timestep` begins; None where the grid has no such timestep."""
    grid = scheduler.timesteps if timesteps is None else timesteps
    if not isinstance(grid, torch.Tensor) or grid.ndim != 1:
        return None
    if isinstance(timestep, torch.Tensor):
        timestep = timestep.flatten()[0].to(grid.device)
    places = (grid == timestep).nonzero().flatten().tolist()
    if getattr(scheduler, "order", 1) == 2:  # two calls a step, of which the first is at an even place
        places = [place for place in places if place % 2 == 0]
    return places[0] if places else None


def begins_at(scheduler: Any, timestep: Any) -> int:
    """The place in the grid of a run's first call, before the scheduler has made it; 0 where it cannot be known."""
    for name in ("step_index", "begin_index"):
        if isinstance(place := getattr(scheduler, name, None), int):
            return place
    return index_of(scheduler, timestep) or 0


class Beginning:
    """Mixed into a scheduler class: looks a timestep up as `index_of` does."""

    def index_for_timestep(self, timestep: Any, schedule_timesteps: torch.Tensor | None = None) -> int:
        place = index_of(self, timestep, schedule_timesteps)
        return super().index_for_timestep(timestep, schedule_timesteps) if place is None else place  # type: ignore[misc]
