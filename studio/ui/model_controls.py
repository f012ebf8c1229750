"""What of the form depends on the chosen model: its menus, its own values, and which controls it has no use for.

All of it comes from `ModelOptions` and the model's `Capabilities`. Knows nothing of what stands in the controls.
"""

from collections.abc import Callable, Mapping
from typing import Any

from studio.core.errors import StudioError
from studio.core.fields import FieldSpec
from studio.core.models import MODEL_KINDS, Choice, ModelInfo, ModelOptions
from studio.core.options import fits
from studio.core.protocol import Studio
from studio.core.request import DEFAULT
from studio.core.tasks import TASKS
from studio.ui.fields import plain, shown
from studio.ui.stages import sizes_note

PLACEHOLDERS = {
    "prompt": "a large red heart, striped yellow background",
    "negative_prompt": "What the picture should not show",
}


def known_options(studio: Studio, model: str) -> ModelOptions | None:
    """None for a model that is not here, or where there is none at all."""
    try:
        return studio.options(model)
    except StudioError:
        return None


def properties(spec: FieldSpec, options: ModelOptions | None) -> dict[str, Any]:
    """Of the control of a field of the request's core; empty where no model changes it."""
    if options is None:
        return {}
    model = options.model
    locks = unused(model) | fixed(model)
    found: dict[str, Any] = {"locked": locks[spec.name]} if spec.name in locks else {}
    if spec.optional and hasattr(model.defaults, spec.name):
        found["placeholder"] = shown(getattr(model.defaults, spec.name))
    return found | (_MORE[spec.name](options) if spec.name in _MORE else {})


def words(name: str, options: ModelOptions | None) -> dict[str, Any]:
    """Of a text area: whether it is open, what it says, and its placeholder."""
    model = options.model if options else None
    locked = unused(model)[name] if model else ""
    special = model.capabilities.prompt_help if model and name == "prompt" else ""
    placeholder = "" if locked or special else PLACEHOLDERS[name]
    return {"interactive": not locked, "info": locked or special, "placeholder": placeholder}


def unused(model: ModelInfo) -> dict[str, str]:
    """For each field that some models have no use for: why this one has none, or "". Such a field is left out of its
    requests, whatever stands in the control."""
    able = model.capabilities
    no_guidance = "" if able.guided else "This model takes no guidance."
    return {
        "prompt": "" if able.prompted else "This model takes no prompt: it makes pictures of its one kind.",
        "negative_prompt": "" if able.negative else "This model takes no negative prompt.",
        "guidance_scale": no_guidance,
        "guidance_rescale": no_guidance or ("" if able.rescale else "This model takes no guidance rescale."),
        "clip_skip": "" if able.clip_skip else "This model takes no clip skip.",
    }


def fixed(model: ModelInfo) -> dict[str, str]:
    """For each field that some models decide by themselves: why no other value is possible with this one, or ""."""
    return dict.fromkeys(
        ("width", "height"), "This model makes only this size." if model.capabilities.fixed_size else ""
    )


def model_choices(studio: Studio, modes: Mapping[str, str], chosen: ModelInfo | None = None) -> list[dict[str, Any]]:
    """Every model that can do the task of a mode, and in which modes it can; of hidden ones only the `chosen`."""
    own = chosen.id if chosen else None
    models = [m for m in studio.models() if m.kind in MODEL_KINDS and not m.problem and (not m.hidden or m.id == own)]
    able = {m.id: [mode for mode, task in modes.items() if task in m.capabilities.tasks] for m in models}
    return [{"name": m.id, "title": m.title, "help": m.description, "modes": able[m.id]} for m in models if able[m.id]]


def refusals(modes: Mapping[str, str]) -> dict[str, str]:
    """Mode -> what is said of a model that cannot do its task, after the model's title."""
    return {mode: f"cannot do {TASKS[task].title.lower()}." for mode, task in modes.items()}


def fitting_files(studio: Studio, kind: str, model: ModelInfo) -> list[ModelInfo]:
    """The usable files of that kind which fit the model."""
    return [m for m in studio.models() if m.kind == kind and not m.problem and not m.hidden and fits(m, model)]


def file_choices(studio: Studio, kind: str, model: ModelInfo) -> list[dict[str, Any]]:
    """The files of that kind which fit the model, for a part's menu."""
    return plain([Choice(name=m.id, title=m.title, help=m.description) for m in fitting_files(studio, kind, model)])


def sampler_menus(options: ModelOptions) -> tuple[list[Choice], dict[str, list[Choice]]]:
    """The sampler menu, the model's own first, and the spacings by the sampler that is chosen."""
    own = options.model.defaults.sampler
    title = next((choice.title for choice in options.samplers if choice.name == own), own)
    first = Choice(name=DEFAULT, title=f"{title} (default)", help=f"{title}, the sampler this model is best used with.")
    spacings = {name: list(choices) for name, choices in options.spacings.items()}
    return [first, *options.samplers], {DEFAULT: spacings.get(own, []), **spacings}


def _advice(options: ModelOptions) -> dict[str, dict[str, dict[str, Any]]]:
    """By sampler and spacing, as the page reads it; `default` is the model's own sampler."""
    found = {s: {p: each.model_dump() for p, each in advice.items()} for s, advice in options.advice.items()}
    return {DEFAULT: found.get(options.model.defaults.sampler, {}), **found}


_MORE: dict[str, Callable[[ModelOptions], dict[str, Any]]] = {
    "sampler": lambda options: {"choices": plain(sampler_menus(options)[0])},
    "spacing": lambda options: {"choices_by": {n: plain(cs) for n, cs in sampler_menus(options)[1].items()}},
    "steps": lambda options: {"advice": _advice(options)},
    "width": lambda options: {"note": sizes_note(options.model)},
}
