"""Which sizes of pictures a model makes. Pure."""

import math

from studio.core.errors import InvalidRequest
from studio.core.models import ModelInfo
from studio.core.request import GenerationRequest


def size_of(request: GenerationRequest, model: ModelInfo) -> tuple[int, int]:
    """(width, height) of the request's pictures, the model's own where none is given. Raises InvalidRequest for a size that
    the model does not make."""
    width, height = request.width or model.defaults.width, request.height or model.defaults.height
    multiple = model.capabilities.multiple * (
        model.cascade.factor(model.cascade.depth(width, height)) if model.cascade else 1
    )
    _check_side("width", width, multiple, model, model.defaults.width)
    _check_side("height", height, multiple, model, model.defaults.height)
    _check_area(width, height, model)
    if model.capabilities.sizes and (width, height) not in model.capabilities.sizes:
        known = ", ".join(f"{wide}x{high}" for wide, high in model.capabilities.sizes)
        raise InvalidRequest(f"{model.title} makes only pictures of {known}.", field="width")
    return width, height


def _check_side(name: str, value: int, multiple: int, model: ModelInfo, own: int) -> None:
    title = name.capitalize()
    if value % multiple:
        low = max(value - value % multiple, multiple)
        raise InvalidRequest(
            f"{title} must be a multiple of {multiple} for {model.title}; {value} is not, {low} is.", field=name
        )
    if model.capabilities.fixed_size and value != own:
        raise InvalidRequest(f"{model.title} makes only {name} {own}.", field=name)


def _check_area(width: int, height: int, model: ModelInfo) -> None:
    """A model that makes one area alone keeps the shape that was asked for, and no more of it."""
    made, before = _of_area(width, height, model), (0, 0)
    if made == (width, height):
        return
    while made != before:  # rounding may take a few turns to settle
        before, made = made, _of_area(*made, model)
    raise InvalidRequest(
        f"{model.title} makes pictures of about {model.capabilities.area:,} pixels, whatever their shape: {made[0]}x{made[1]} is the "
        f"nearest to {width}x{height}.",
        field="width",
    )


def _of_area(width: int, height: int, model: ModelInfo) -> tuple[int, int]:
    if model.capabilities.area is None:
        return width, height
    scale = math.sqrt(model.capabilities.area / (width * height))
    wide, high = (
        int(side * scale // model.capabilities.multiple) * model.capabilities.multiple for side in (width, height)
    )
    return wide, high
