"""What the engine calls a pipeline with, for tests that hold it against the bare pipeline."""

from typing import Any

from studio.core.request import GenerationRequest


def arguments_of(request: GenerationRequest, loaded: Any, pipeline: Any = None) -> dict[str, Any]:
    """The call's arguments for the request's first image, but for its generator."""
    from studio.engine import generate  # noqa: F401 (registers the tasks and parts)
    from studio.engine.effects import Context, call_arguments, no_images

    shell = pipeline or loaded.pipeline(loaded.call(request))
    return call_arguments(Context(request, loaded, shell, (0,), {}, no_images))
