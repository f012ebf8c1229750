"""What a model can do, as one value, from its family and what its folder or file says. No torch."""

from collections.abc import Mapping
from typing import Any

from studio.core.models import Capabilities
from studio.core.samplers import spacing_of
from studio.manager.families import pipeline_table
from studio.manager.families.base import Family

# Pipelines that put `skip_prk_steps` right where a scheduler's configuration says False.
MENDING = frozenset({"StableDiffusionInpaintPipeline"})


def capabilities_of(
    family: Family,
    variant: str,
    named: str | None,  # the pipeline class that the model's folder names
    prediction: str,
    scheduler: Mapping[str, Any],  # the configuration of the model's own scheduler
    *,
    solvers: tuple[str, ...] | None,
    distilled: bool,
    multiple: int | None = None,
    area: int | None = None,  # in pixels
) -> Capabilities:
    """The arguments are explained at `Capabilities`."""
    calls = family.calls(variant, named)
    first = next(iter(calls.values()), None)
    pipeline = first.pipeline if first else ""
    mended = pipeline in MENDING and "skip_prk_steps" in scheduler  # a default that is put right is a default again
    return Capabilities(
        tasks=tuple(calls),
        parts=family.parts(variant),
        prediction=prediction,
        spacing=spacing_of(scheduler),
        solvers=solvers,
        guided=family.guided,
        prompted=family.prompted,
        prompt_help=family.prompt_help,
        negative=family.negative,
        rescale=pipeline_table.accepts(pipeline, "guidance_rescale"),
        zero_snr=bool(scheduler.get("rescale_betas_zero_snr")),
        runge_kutta=not (scheduler.get("skip_prk_steps") or mended),
        # One step cannot start at noise and end above zero.
        fewest_steps=2 if scheduler.get("shift_terminal") else 1,
        partial_steps=family.partial_steps,
        multiple=multiple or family.multiple,
        sizes=family.sizes,
        area=area,
        fixed_size=family.fixed_size,
        distilled=distilled,
    )
