"""The denoising loops of one pipeline, reported as one sequence of steps: a prior's first, then its decoder's, then larger
pictures'.

Most pipelines have one loop. Where there are several, each has a scheduler of its own, and some hide it in a pipeline
within the pipeline. The tap (`tap.py`) watches each loop.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import torch

from studio.engine.tap import Changing, GuidanceLayout, TapStep, tapped
from studio.manager.families import Family, Loop


def put_scheduler(pipeline: Any, name: str, scheduler: Any) -> None:
    """Have the pipeline use `scheduler` as its `name`, and the pipelines that it is made of, where they share it."""
    from diffusers import DiffusionPipeline

    old = getattr(pipeline, name)
    setattr(pipeline, name, scheduler)
    for inner in [part for part in vars(pipeline).values() if isinstance(part, DiffusionPipeline)]:
        if getattr(inner, "scheduler", None) is old:
            inner.scheduler = scheduler


@contextmanager
def watched_loops(
    pipeline: Any,
    family: Family,
    steps: int,  # of the loop whose sampler was chosen; the others make as many as the pipeline has them
    layout: GuidanceLayout,
    images: tuple[int, ...],
    *,
    on_step: Callable[[TapStep], None],
    cancelled: Callable[[], bool],
    generators: list[torch.Generator],
    spatial: Callable[[torch.Tensor], torch.Tensor],
    changing: tuple[Changing, ...] = (),  # of the loop whose sampler was chosen
) -> Iterator[None]:
    """Watch one call of the pipeline; raises as `tapped` does."""
    loops = family.loops or (Loop((family.denoiser,), family.scheduler),)
    counts = [steps if loop.scheduler == family.scheduler else _own_steps(pipeline, loop) for loop in loops]
    with ExitStack() as stack:
        for number, loop in enumerate(loops):
            stack.enter_context(
                tapped(
                    pipeline,
                    loop.denoisers,
                    layout,
                    images,
                    on_step=_as_part(on_step, sum(counts[:number]), sum(counts)) if len(loops) > 1 else on_step,
                    cancelled=cancelled,
                    generators=generators,
                    spatial=spatial,
                    scheduler_name=loop.scheduler,
                    steps=counts[number],
                    changing=changing if loop.scheduler == family.scheduler else (),
                )
            )
        yield


def _own_steps(pipeline: Any, loop: Loop) -> int:
    return inspect.signature(type(pipeline).__call__).parameters[loop.steps].default


def _as_part(on_step: Callable[[TapStep], None], done: int, total: int) -> Callable[[TapStep], None]:
    """`on_step` for a loop's steps numbered within the whole sequence, after `done` earlier ones."""
    return lambda step: on_step(replace(step, index=step.index + done, total=total))


@contextmanager
def attention_as_before(pipeline: Any) -> Iterator[None]:
    """Whatever the pipeline puts into its modules' attention for one call is out again, however the call ends.

    Modules are shared, and pipelines that perturb attention leave it so where they are stopped.
    """
    modules = [part for part in pipeline.components.values() if hasattr(part, "set_attn_processor")]
    layers = [layer for module in modules for layer in module.modules() if hasattr(type(layer), "set_processor")]
    kept = [layer.processor for layer in layers]
    try:
        yield
    finally:
        for layer, processor in zip(layers, kept, strict=True):
            if layer.processor is not processor:
                layer.set_processor(processor)
