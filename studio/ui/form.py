"""The form: draws a request's fields, reads them back into one request, and fills them from any set of settings.

`read` and `fill` are inverses; presets, a dropped picture, a click on a result and a change of model all go through
`fill`. What a value must be is the request's business, and what a model accepts is the studio's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr
from gradio.components import Component

from studio.core.errors import StudioError
from studio.core.fields import specs
from studio.core.models import MODEL_KINDS, Choice, ModelInfo, ModelOptions
from studio.core.presets import Style
from studio.core.protocol import Studio
from studio.core.request import DEFAULT, RANDOM_SEED, GenerationRequest, parse_request
from studio.ui.fields import Number, Seed, Select, Switch, plain, plain_by, shown
from studio.ui.stages import sizes_note

# What the sliders span: the values people use. The number boxes take all that the request allows.
SOFT = {"steps": (1, 60, 1), "guidance_scale": (0, 15, 0.5), "guidance_rescale": (0, 1, 0.05)}
OPTIONAL = frozenset(name for name, spec in specs(GenerationRequest).items() if spec.optional)
NUMBERS = OPTIONAL | {"steps", "guidance_scale", "guidance_rescale", "count", "batch_size"}
PLACEHOLDERS = {
    "prompt": "a large red heart, striped yellow background",
    "negative_prompt": "What the picture should not show",
}
NONE = "none"
NO_MODEL = (
    "Put checkpoints or diffusers folders into the models folder, then load this page again. The Models tab says why a "
    "file that is there cannot be used."
)
TASKS = frozenset({"text_to_image"})
DTYPES = (
    Choice(name="auto", title="Automatic", help="What measures fastest on this device."),
    Choice(name="fp32", title="32-bit float", help="The most exact, and the slowest on most devices."),
    Choice(name="bf16", title="bfloat16", help="Half the memory, with the range of 32-bit floats."),
    Choice(name="fp16", title="16-bit float", help="Half the memory, with a smaller range."),
)


@dataclass(frozen=True)
class Form:
    """The controls drawn so far, by the name of the setting they hold. `draw` adds one where it is called."""

    studio: Studio
    fields: dict[str, Component] = field(default_factory=dict)

    def draw(self, *names: str) -> None:
        for name in names:
            self.fields[name] = _WIDGETS.get(name, _number)(self.studio, name)

    def inputs(self) -> set[Component]:
        return set(self.fields.values())

    def read(self, data: dict[Component, Any]) -> GenerationRequest:
        """The request that the form asks for. Raises InvalidRequest with the field at fault."""
        given = {name: data[component] for name, component in self.fields.items()}
        style = given.pop("style", NONE)
        given.pop("preset", None)
        model = self._known_model(str(given.get("model", DEFAULT)))
        blank = _blank(model) if model else {}
        values = {name: _typed(name, value) for name, value in given.items()} | blank
        request = parse_request(values)
        styles = {each.name: each for each in self.studio.styles()}
        if style in styles:
            request = parse_request(values | _styled(request, styles[style]) | blank)
        return request

    def fill(self, values: dict[str, Any]) -> dict[Component, Any]:
        """Updates that put the settings in place and leave the others alone; the menus follow the model that is named."""
        updates: dict[Component, Any] = {}
        if "model" in values:
            model = self._known_model(str(values["model"]))
            if model and "model" in self.fields:  # the page's own menu may be older, or leave a hidden model out
                updates[self.fields["model"]] = gr.update(choices=plain(model_choices(self.studio, model)))
            updates |= self._offers(self.studio.options(model.id)) if model else {}
            values = values | {"model": model.id} if model else {k: v for k, v in values.items() if k != "model"}
        for name, value in values.items():
            if (component := self.fields.get(name)) is not None:
                settled = updates.get(component, {})
                updates[component] = settled | gr.update(value=_untyped(name, value))
        if "prompt" in values and (style := self.fields.get("style")) is not None:
            updates[style] = gr.update(value=NONE)  # its words are in the prompt already
        return updates

    def adopt(self, model_id: str, before: str, data: dict[Component, Any]) -> dict[Component, Any]:
        """Updates after a person chose another model: its menus, and its own steps and guidance where the last model's
        own still stood."""
        options = self.studio.options(model_id)
        values: dict[str, Any] = {"model": model_id, "sampler": DEFAULT, "spacing": DEFAULT}
        old, new = self._defaults(before), options.model.defaults
        for name in ("steps", "guidance_scale"):
            if old is None or str(data[self.fields[name]]) == shown(getattr(old, name)):
                values[name] = getattr(new, name)
        updates = self.fill(values | {"width": None, "height": None})
        updates.pop(self.fields["model"], None)  # a person who walks through the menu is ahead of the answers
        return updates

    def refreshed(self, chosen: str) -> dict[Component, Any]:
        """Updates that offer what the studio has now; models may have come or gone since the page was drawn."""
        choices = model_choices(self.studio)
        known = self._known_model(chosen)
        here = known is not None and any(choice.name == known.id for choice in choices)
        model = known if here else default_model(self.studio)
        menu = gr.update(choices=plain(choices), value=model.id if model else DEFAULT)
        offers = self._offers(self.studio.options(model.id)) if model else {}
        return {self.fields["model"]: menu} | offers

    def _known_model(self, name: str) -> ModelInfo | None:
        try:
            return self.studio.options(name).model
        except StudioError:
            return None

    def _defaults(self, model_id: str) -> Any:
        model = self._known_model(model_id)
        return model.defaults if model else None

    def _offers(self, options: ModelOptions) -> dict[Component, Any]:
        """Menus and sizes as this model has them."""
        own = options.model.defaults
        sampler, spacing = sampler_menus(options)
        size = {"locked": _size_lock(options.model), "note": sizes_note(options.model)}
        updates = {
            "sampler": gr.update(choices=plain(sampler)),
            "spacing": gr.update(choices_by=plain_by(spacing)),
            "width": gr.update(placeholder=shown(own.width), **size),
            "height": gr.update(placeholder=shown(own.height), **size | {"note": ""}),
            "steps": gr.update(advice=_advice(options)),
            "guidance_scale": gr.update(locked=_guidance_lock(options.model)),
            "guidance_rescale": gr.update(locked=_rescale_lock(options.model)),
        } | {name: gr.update(**_words(options.model, name)) for name in PLACEHOLDERS}
        return {self.fields[name]: update for name, update in updates.items() if name in self.fields}


def default_model(studio: Studio) -> ModelInfo | None:
    try:
        return studio.options(DEFAULT).model
    except StudioError:
        return None


def model_choices(studio: Studio, chosen: ModelInfo | None = None) -> list[Choice]:
    """Every model that can make a picture from nothing but the form; of hidden ones only the `chosen`."""
    own = chosen.id if chosen else None
    models = [m for m in studio.models() if m.kind in MODEL_KINDS and not m.problem and (not m.hidden or m.id == own)]
    return [
        Choice(name=m.id, title=m.title, help=m.description)
        for m in models
        if not m.capabilities.tasks or TASKS.intersection(m.capabilities.tasks)
    ]


def sampler_menus(options: ModelOptions) -> tuple[list[Choice], dict[str, list[Choice]]]:
    """The sampler menu, the model's own first, and the spacings by the sampler that is chosen."""
    own = options.model.defaults.sampler
    title = next((choice.title for choice in options.samplers if choice.name == own), own)
    first = Choice(name=DEFAULT, title=f"{title} (default)", help=f"{title}, the sampler this model is best used with.")
    spacings = {name: list(choices) for name, choices in options.spacings.items()}
    return [first, *options.samplers], {DEFAULT: spacings.get(own, []), **spacings}


def _size_lock(model: ModelInfo) -> str:
    """Why the control does nothing for this model, in a sentence; empty where it does something."""
    return "This model makes only this size." if model.capabilities.fixed_size else ""


def _guidance_lock(model: ModelInfo) -> str:
    return "" if model.capabilities.guided else "This model takes no guidance."


def _rescale_lock(model: ModelInfo) -> str:
    return _guidance_lock(model) or ("" if model.capabilities.rescale else "This model takes no guidance rescale.")


def _blank(model: ModelInfo) -> dict[str, Any]:
    """What is left out of the request, whatever stands in the controls, because the model has no use for it."""
    words = {name: "" for name, why in _unused_words(model).items() if why}
    return words | ({"guidance_rescale": 0.0} if _rescale_lock(model) else {})


def _unused_words(model: ModelInfo) -> dict[str, str]:
    """For the prompt and the negative prompt: why the model has no use for it; empty where it has."""
    return {
        "prompt": ""
        if model.capabilities.prompted
        else "This model takes no prompt: it makes pictures of its one kind.",
        "negative_prompt": "" if model.capabilities.negative else "This model takes no negative prompt.",
    }


def _words(model: ModelInfo | None, name: str) -> dict[str, Any]:
    """What a text control shows and says for this model."""
    unused = _unused_words(model)[name] if model else ""
    special = model.capabilities.prompt_help if model and name == "prompt" else ""
    plain_words = not (unused or special)
    return {
        "interactive": not unused,
        "info": unused or special,
        "placeholder": PLACEHOLDERS[name] if plain_words else "",
    }


def _advice(options: ModelOptions | None) -> dict[str, dict[str, dict[str, Any]]]:
    """By sampler and spacing, as the page reads it; `default` is the model's own sampler."""
    if options is None:
        return {}
    told = {s: {p: each.model_dump() for p, each in found.items()} for s, found in options.advice.items()}
    return {DEFAULT: told.get(options.model.defaults.sampler, {}), **told}


def _styled(request: GenerationRequest, style: Style) -> dict[str, str]:
    negative = ", ".join(part for part in (request.negative_prompt, style.negative_prompt) if part)
    return {"prompt": style.prompt.replace("{prompt}", request.prompt), "negative_prompt": negative}


def _typed(name: str, value: Any) -> Any:
    """What stands in a number's box as a number; anything else as it is, for the request to refuse in words."""
    if name not in NUMBERS and name != "seed":
        return value
    text = str(value).strip()
    if not text:
        return None if name in OPTIONAL else RANDOM_SEED if name == "seed" else value
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return value


def _untyped(name: str, value: Any) -> Any:
    return shown(value) if name in NUMBERS or name == "seed" else value


def _text(studio: Studio, name: str) -> Component:
    first = name == "prompt"
    return gr.Textbox(
        value="",
        label=GenerationRequest.model_fields[name].title,
        lines=3 if first else 1,
        max_lines=10 if first else 6,
        **_words(default_model(studio), name),
        elem_classes=["field", "field-text", f"is-{name}"],
    )


def _model(studio: Studio, name: str) -> Component:
    model = default_model(studio)
    return Select(
        name,
        model.id if model else DEFAULT,
        plain(model_choices(studio)),
        empty="No model that can be used",
        empty_help=NO_MODEL,
    )


def _sampler(studio: Studio, name: str) -> Component:
    model = default_model(studio)
    options = studio.options(model.id) if model else None
    if name == "sampler":
        return Select(name, DEFAULT, plain(sampler_menus(options)[0]) if options else ())
    return Select(name, DEFAULT, depends="sampler", choices_by=plain_by(sampler_menus(options)[1]) if options else {})


def _number(studio: Studio, name: str) -> Component:
    model = default_model(studio)
    if name in OPTIONAL:
        own = shown(getattr(model.defaults, name)) if model else ""
        note = sizes_note(model) if name == "width" else ""
        return Number(name, None, placeholder=own, locked=_size_lock(model) if model else "", note=note)
    value = GenerationRequest.model_fields[name].default
    if model and name in ("steps", "guidance_scale"):
        value = getattr(model.defaults, name)
    if name == "steps":
        return Number(name, value, soft=SOFT[name], advice=_advice(studio.options(model.id)) if model else {})
    lock = _LOCKS[name](model) if model and name in _LOCKS else ""
    return Number(name, value, soft=SOFT.get(name), locked=lock)


def _preset(studio: Studio, name: str) -> Component:
    presets = [Choice(name=p.name, title=p.title, help=p.description) for p in studio.presets()]
    return Select(
        name,
        NONE,
        plain([Choice(name=NONE, title="None"), *presets]),
        title="Preset",
        help="Sets several settings at once.",
    )


def _style(studio: Studio, name: str) -> Component:
    styles = [Choice(name=s.name, title=s.title, help=s.prompt.replace("{prompt}", "…")) for s in studio.styles()]
    return Select(
        name,
        NONE,
        plain([Choice(name=NONE, title="None"), *styles]),
        title="Style",
        help="Words put around your prompt.",
    )


_LOCKS: dict[str, Callable[[ModelInfo], str]] = {
    "guidance_scale": _guidance_lock,
    "guidance_rescale": _rescale_lock,
}
_WIDGETS: dict[str, Callable[[Studio, str], Component]] = {
    "prompt": _text,
    "negative_prompt": _text,
    "model": _model,
    "sampler": _sampler,
    "spacing": _sampler,
    "seed": lambda studio, name: Seed(name, RANDOM_SEED),
    "dtype": lambda studio, name: Select(name, "auto", plain(DTYPES)),
    "previews": lambda studio, name: Switch(name, True),
    "preset": _preset,
    "style": _style,
}
