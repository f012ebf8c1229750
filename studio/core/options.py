"""Checks a request against the model that is to make it and fills in the model's own defaults. Pure; loads nothing."""

import secrets
from collections.abc import Sequence
from typing import Any

from studio.core.annotators import Annotate
from studio.core.errors import InvalidRequest, StudioError, UnknownName
from studio.core.fields import specs
from studio.core.models import MODEL_KINDS, Advice, Choice, ModelInfo, ModelOptions
from studio.core.parts import PARTS, PartBase
from studio.core.request import DEFAULT, RANDOM_SEED, GenerationRequest
from studio.core.samplers import SOLVERS, SPACINGS, advice, check_steps, good_from, least_steps, needs
from studio.core.sizes import size_of
from studio.core.solvers import Solver
from studio.core.tasks import TASKS
from studio.core.tasks.base import ReadImage
from studio.core.traces import ReadTrace

MOST_OFF = 2.0  # times the pixels of a model's own size, from which on its pictures suffer
NAMED_BY_DIFFUSERS = ("diffusion_pytorch_model", "pytorch_lora_weights")


def legal_samplers(model: ModelInfo) -> list[str]:
    """Sampler names that the model may use, in the table's order."""
    return [name for name, solver in SOLVERS.items() if _solver_is_legal(solver, model)]


def legal_spacings(model: ModelInfo, sampler: str) -> list[str]:
    """Spacing names that may go with `sampler` on the model, `default` first."""
    solver = SOLVERS.get(sampler, field="sampler")
    return [
        name
        for name in solver.spacings
        if (families := SPACINGS.get(name).families) is None or model.family in families
    ]


def options_for(model: ModelInfo) -> ModelOptions:
    """Everything that the form offers for this model."""
    samplers = legal_samplers(model)
    return ModelOptions(
        model=model,
        samplers=tuple(Choice(name=n, title=SOLVERS.get(n).title, help=SOLVERS.get(n).help) for n in samplers),
        spacings={
            n: tuple(
                Choice(name=s, title=SPACINGS.get(s).title, help=SPACINGS.get(s).help) for s in legal_spacings(model, n)
            )
            for n in samplers
        },
        advice={n: found for n in samplers if (found := _advice(model, n))},
    )


def resolve(request: GenerationRequest, model: ModelInfo, models: Sequence[ModelInfo] = ()) -> GenerationRequest:
    """The request with all that was left to the model in place: its id, size, sampler, implied parts, a drawn seed.

    Raises InvalidRequest where it cannot be run. Steps and guidance that were not given are the model's own. Nothing is
    replaced silently: a value that the person gave is kept or refused. `models` are those that parts may name.
    """
    if model.problem:
        raise InvalidRequest(f"{model.title} cannot be used: {model.problem}", field="model")
    if model.kind not in MODEL_KINDS:
        raise InvalidRequest(_no_model(model), field="model")
    _check_task(request, model)
    sampler = model.defaults.sampler if request.sampler == DEFAULT else request.sampler
    samplers = legal_samplers(model)
    if sampler not in samplers:
        SOLVERS.get(sampler, field="sampler")
        raise InvalidRequest(
            f"Sampler {sampler} does not work with {model.title} ({model.capabilities.prediction}). It takes: {', '.join(samplers)}.",
            field="sampler",
        )
    spacings = legal_spacings(model, sampler)
    request = request.model_copy(update=_own(request, model) | {"task": request.task.resolved(model)})
    if request.spacing not in spacings:
        SPACINGS.get(request.spacing, field="spacing")
        raise InvalidRequest(
            f"Spacing {request.spacing} does not go with sampler {sampler} on {model.title}. It takes: {', '.join(spacings)}.",
            field="spacing",
        )
    check_steps(sampler, request.steps, model.capabilities.runge_kutta)
    if request.steps < model.capabilities.fewest_steps:
        raise InvalidRequest(f"{model.title} needs at least {model.capabilities.fewest_steps} steps.", field="steps")
    _check_words(request, model)
    width, height = size_of(request, model)
    if request.task.steps_run(request.steps, model.capabilities.partial_steps) < 1:
        raise InvalidRequest(
            f"At this strength none of {request.steps} steps would run; raise the strength or the steps.",
            field="task.strength",
        )
    seed = request.seed
    if seed == RANDOM_SEED:
        seed = secrets.randbelow(2**32 - request.count)
    changes = {"model": model.id, "sampler": sampler, "width": width, "height": height, "seed": seed}
    settled = request.changed(**changes)
    return settled.changed(parts=resolve_parts(settled, model, models))


def resolve_parts(
    request: GenerationRequest, model: ModelInfo, models: Sequence[ModelInfo] = ()
) -> tuple[PartBase, ...]:
    """The request's parts with full ids, and those that the model implies. Raises InvalidRequest at the part's own field."""
    given = {part.kind for part in request.parts}
    implied = [part for kind in PARTS.values() if (part := kind.implied(request, model)) and part.kind not in given]
    resolved: list[PartBase] = []
    for number, part in enumerate((*request.parts, *implied)):
        if part.kind not in model.capabilities.parts:
            raise InvalidRequest(f"{model.title} takes no {part.plural}.", field=f"parts.{number}")
        if (request.task.kind, part.kind) in model.capabilities.excluded:
            task = request.task.title.lower()
            raise InvalidRequest(f"{model.title} takes no {part.plural} in {task}.", field=f"parts.{number}")
        try:
            found = _with_file(part, model, models, own=number >= len(request.parts))
            resolved.append(found.resolved(request, model))
        except InvalidRequest as error:
            raise InvalidRequest(str(error), field=f"parts.{number}.{error.field}" if error.field else None) from None
    return tuple(resolved)


def prepared(request: GenerationRequest, annotate: Annotate) -> GenerationRequest:
    """A resolved request with the control images that its parts have still to be given. Raises InvalidRequest."""
    parts = []
    for number, part in enumerate(request.parts):
        try:
            parts.append(part.prepared(request, annotate))
        except StudioError as error:
            raise InvalidRequest(str(error), field=f"parts.{number}.{error.field or 'image'}") from None
    return request.changed(parts=tuple(parts))


def _with_file(part: PartBase, model: ModelInfo, models: Sequence[ModelInfo], *, own: bool) -> PartBase:
    """The part with the full id of the file that it names, which must be there, of its kind and of the model's family.

    `own`: the part is the model's, not the request's.
    """
    if not part.model_kind:
        return part
    name = str(part.model_dump()["model"])
    fitting = [each for each in models if each.kind == part.model_kind]
    if not name:
        name = _only_one(part, [each for each in fitting if fits(each, model) and not each.problem], model)
    found = _by_name(fitting, name)
    if found is None and own:
        raise InvalidRequest(
            f"{model.title} is set to run with the {part.title} {name}, which is not here.", field="model"
        )
    if found is None and (other := _by_name(models, name)) is not None:
        why = (
            other.problem
            or f"it is of kind {other.kind.replace('_', ' ')}, not the {_file_title(type(part))} that is asked for."
        )
        raise InvalidRequest(f"{other.title} cannot be used: {why}", field="model")
    if found is None:
        raise UnknownName(
            _file_title(type(part)), name, [each.id for each in fitting if fits(each, model)], field="model"
        )
    if found.problem:
        raise InvalidRequest(f"{found.title} cannot be used: {found.problem}", field="model")
    if not fits(found, model):
        raise InvalidRequest(
            f"{found.title} is made for {found.family}, and {model.title} is {model.family}; they do not fit.",
            field="model",
        )
    return part.with_file(found, model)


def _file_title(part: type[PartBase]) -> str:
    """What its files are called: a reference's is an IP-Adapter."""
    return specs(part)["model"].title


def _only_one(part: PartBase, fitting: Sequence[ModelInfo], model: ModelInfo) -> str:
    """The file of a part that names none, where there is no choice."""
    if not fitting:
        raise InvalidRequest(f"There is no {_file_title(type(part))} here that fits {model.title}.", field="model")
    if len(fitting) > 1:
        names = ", ".join(each.id for each in fitting[:20])
        raise InvalidRequest(f"Say which {_file_title(type(part))}: {names}.", field="model")
    return fitting[0].id


def fits(file: ModelInfo, model: ModelInfo) -> bool:
    """Whether a part's file is of the model's family, as far as its header says."""
    return file.family is None or file.family == model.family


def _no_model(file: ModelInfo) -> str:
    """A file that somebody chose as a model, perhaps because it lies among the checkpoints: what it is, and where to add it."""
    part = next((part for part in PARTS.values() if part.model_kind == file.kind), None)
    if part is None:
        return f"{file.title} is of kind {file.kind.replace('_', ' ')}, which makes no pictures by itself."
    title = _file_title(part)
    article = "an" if title[0] in "AEIOU" else "a"
    return (
        f"{file.title} is {article} {title}, not a model: choose a model, then add it under {part.title}. "
        "The file can stay where it is."
    )


def _check_task(request: GenerationRequest, model: ModelInfo) -> None:
    task, tasks = request.task, model.capabilities.tasks
    if not task.offered or task.kind not in tasks:
        able = ", ".join(TASKS[kind].title.lower() for kind in tasks if TASKS[kind].offered)
        raise InvalidRequest(f"{model.title} cannot do {task.title.lower()}. It does: {able}.", field="model")


def check_pictures(request: GenerationRequest, read_image: ReadImage) -> None:
    """Refuses pictures of the task that do not go together, before any work. Raises InvalidRequest."""
    try:
        request.task.check(read_image)
    except InvalidRequest as error:
        raise InvalidRequest(str(error), field=f"task.{error.field}") from None


def check_traces(request: GenerationRequest, read_trace: ReadTrace) -> None:
    """Refuses parts of a resolved request that do not go with the traces that they need. Raises InvalidRequest."""
    for number, part in enumerate(request.parts):
        try:
            part.check(request, read_trace)
        except InvalidRequest as error:
            raise InvalidRequest(str(error), field=f"parts.{number}.{error.field or 'image'}") from None


def _own(request: GenerationRequest, model: ModelInfo) -> dict[str, Any]:
    """The model's best values of what was not given."""
    own = {"steps": model.defaults.steps, "guidance_scale": model.defaults.guidance_scale}
    return {name: value for name, value in own.items() if name not in request.model_fields_set}


def _check_words(request: GenerationRequest, model: ModelInfo) -> None:
    """What the model has no use for is refused, never dropped."""
    if request.negative_prompt and not model.capabilities.negative:
        raise InvalidRequest(f"{model.title} takes no negative prompt; leave it empty.", field="negative_prompt")
    if request.guidance_rescale and not model.capabilities.rescale:
        raise InvalidRequest(f"{model.title} takes no guidance rescale; set it to 0.", field="guidance_rescale")
    if request.clip_skip > 1 and not model.capabilities.clip_skip:
        raise InvalidRequest(f"{model.title} takes no clip skip; set it to 1.", field="clip_skip")


def find_model(models: list[ModelInfo], name: str) -> ModelInfo:
    """A model by id, by the last part of its id, or `default`: a shipped one, else any that is usable.

    Raises UnknownName with the list.
    """
    if name == DEFAULT:
        usable = [m for m in models if m.problem is None and m.kind in MODEL_KINDS and not m.hidden]
        if not usable:
            raise InvalidRequest("No usable model was found in the models folders.", field="model")
        return max(usable, key=ability)  # of equals the first
    if (found := _by_name(models, name)) is not None:
        return found
    raise UnknownName("model", name, [m.id for m in models if m.problem is None and not m.hidden], field="model")


def ability(model: ModelInfo) -> tuple[bool, int, int]:
    """What is better to begin with: a model that is shipped, that can do more tasks, that takes more kinds of parts."""
    return model.shipped, len(model.capabilities.tasks), len(model.capabilities.parts)


def _by_name(models: Sequence[ModelInfo], name: str) -> ModelInfo | None:
    """By id, by its last part or by title; None if there is none. Raises InvalidRequest where several have the name."""
    exact = [m for m in models if m.id == name]
    short = exact or [m for m in models if name in _short_names(m)]
    if len(short) > 1:
        raise InvalidRequest(
            f"{name} could be any of: {', '.join(m.id for m in short)}. Give one of these.", field="model"
        )
    return short[0] if short else None


def _short_names(model: ModelInfo) -> set[str]:
    folder, _, last = model.id.rpartition("/")
    called = {last, model.title}
    # A file that diffusers named ("diffusion_pytorch_model") goes by its folder too.
    return called | {folder, folder.rpartition("/")[2]} if folder and last.startswith(NAMED_BY_DIFFUSERS) else called


def _advice(model: ModelInfo, sampler: str) -> dict[str, Advice]:
    """For each spacing that is poor at few steps, from how many on it is good. `default` is the model's own."""
    spacings, own = legal_spacings(model, sampler), model.capabilities.spacing
    least = least_steps(sampler, model.capabilities.runge_kutta)
    found = {
        name: Advice(below=good_from(sampler, name, own), sentence=advice(sampler, name, own))
        for name in spacings
        if good_from(sampler, name, own) > 1
    }
    if least > 1:
        found |= {name: Advice(below=least, sentence=needs(sampler, least)) for name in spacings}
    return found


def _solver_is_legal(solver: Solver, model: ModelInfo) -> bool:
    """The prediction must fit, whatever else; then the family's own list decides, or else the solver's."""
    if model.capabilities.prediction not in solver.predictions:
        return False
    if model.capabilities.zero_snr and not solver.zero_snr:
        return False
    if model.capabilities.solvers is not None:
        return solver.name in model.capabilities.solvers
    if solver.families is not None and model.family not in solver.families:
        return False
    return model.capabilities.distilled or not solver.distilled


def size_advice(model: ModelInfo, width: int, height: int) -> str:
    """Advice against a size far from the one that the model was trained at; empty for one that suits it."""
    able, own = model.capabilities, model.defaults
    if able.fixed_size or able.sizes or able.area or model.cascade:
        return ""  # such a size is refused, or the stages decide
    if 1 / MOST_OFF <= width * height / (own.width * own.height) <= MOST_OFF:
        return ""
    flaw = (
        "smaller pictures lose their form"
        if width * height < own.width * own.height
        else "larger pictures repeat things"
    )
    return f"{model.title} is made for {own.width} × {own.height}; {flaw}."
