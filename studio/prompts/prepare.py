"""A request's prompts made ready: LoRA tags become parts, and what cannot be read is refused before any work.

`with_loras` is called once, when a request is made; `expanded` for each image, when its turn comes.
"""

from collections.abc import Sequence

from studio.core.models import ModelInfo
from studio.core.options import find_model
from studio.core.request import MAX_PARTS, GenerationRequest
from studio.prompts.composition import parse
from studio.prompts.errors import PromptError
from studio.prompts.random_parts import Lines, braces, expand, has_random_parts
from studio.prompts.tags import Tag, lora_of, tags_of

PROMPTS = ("prompt", "negative_prompt")


def is_read(request: GenerationRequest, model: ModelInfo) -> bool:
    """Whether the prompt language applies; the prompts of some models are class names, say."""
    return request.syntax != "literal" and model.capabilities.prompted and not model.capabilities.prompt_help


def with_loras(request: GenerationRequest, models: Sequence[ModelInfo], lines: Lines) -> GenerationRequest:
    """Raises PromptError, with the field at fault."""
    model = find_model(list(models), request.model)
    if not is_read(request, model):
        return request
    if tags_of(request.negative_prompt):
        raise PromptError("A LoRA is named in the prompt, not in the negative prompt.", field="negative_prompt")
    tags = outside_braces(request.prompt, tags_of(request.prompt))
    if tags:
        loras = tuple(lora_of(tag, models) for tag in tags)
        if len(loras) + len(request.parts) > MAX_PARTS:
            raise PromptError(f"A request takes at most {MAX_PARTS} parts, the prompt's LoRAs among them.")
        values = {"prompt": _without(request.prompt, tags), "parts": (*request.parts, *loras)}
        request = GenerationRequest(**({name: getattr(request, name) for name in request.model_fields_set} | values))
    _check(expanded(request, 0, lines))
    return request


def outside_braces(text: str, tags: tuple[Tag, ...]) -> tuple[Tag, ...]:
    """Those that count whatever is chosen at random; the others are refused where the text is expanded."""
    inside = braces(text).items()
    return tuple(tag for tag in tags if not any(a < tag.start < b for a, b in inside))


def expanded(request: GenerationRequest, image: int, lines: Lines) -> GenerationRequest:
    """The request as it is for one image, with a choice for each random part by that image's own seed."""
    if request.syntax == "literal":
        return request
    seed = max(request.seed, 0) + image
    made: dict[str, str] = {}
    for name in PROMPTS:
        try:
            made[name] = expand(getattr(request, name), seed, lines)
        except PromptError as error:
            raise PromptError(str(error), error.start, error.end, field=name) from None
    return request.model_copy(update=made)


def is_random(request: GenerationRequest) -> bool:
    """Whether its images may have prompts of their own."""
    return request.syntax != "literal" and any(has_random_parts(getattr(request, name)) for name in PROMPTS)


def _check(request: GenerationRequest) -> None:
    for name in PROMPTS:
        try:
            composition = parse(getattr(request, name))
        except PromptError as error:
            raise PromptError(str(error), error.start, error.end, field=name) from None
        if name == "negative_prompt" and len(composition.conjuncts) > 1:
            raise PromptError("AND joins prompts; it has no meaning in a negative prompt.", field=name)


def _without(text: str, tags: tuple[Tag, ...]) -> str:
    at, kept = 0, list[str]()
    for tag in tags:
        kept.append(text[at : tag.start])
        at = tag.end
    return "".join((*kept, text[at:])).strip()
