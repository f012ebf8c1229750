"""Makes settings of ours of what was read: each value checked by its field, and all of them by the model together.

What is left out, replaced or not used is said, one sentence each.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from studio.core.errors import InvalidRequest
from studio.core.fields import shown
from studio.core.models import ModelInfo
from studio.core.options import legal_samplers, legal_spacings, resolve
from studio.core.request import DEFAULT, EXACT, MAX_PARTS, parse_request
from studio.core.samplers import SOLVERS, SPACINGS, check_steps
from studio.core.tasks import ImageToImage
from studio.metadata import lookup
from studio.metadata.found import File, Found
from studio.metadata.sampler_names import sampler_of, spacing_of

_NO_FILE = frozenset({"", "none", "automatic", "default", "default (model)", "baked", "baked vae"})
_SHOWN = 24  # names in one sentence
_TASK = ImageToImage.model_fields["kind"].default
Model = ModelInfo | None


@dataclass(frozen=True)
class Settings:
    """Fields of GenerationRequest, and one sentence for each thing left out. A task may lack its picture."""

    fields: dict[str, Any]
    notes: tuple[str, ...]


def fit(found: Found, models: Sequence[ModelInfo]) -> Settings:
    """The settings that a request can have here, with the models that are here."""
    # What a picture with settings does not say, it does not have: what is set in the form must not stay.
    fields: dict[str, Any] = {"guidance_rescale": 0.0, "clip_skip": 1, "parts": []} if found.values else {}
    notes: list[str] = []
    for name, value in (("prompt", found.prompt), ("negative_prompt", found.negative_prompt), *found.values.items()):
        if value is not None:
            _keep(fields, notes, name, value)
    model = _model(fields, notes, found.model, models)
    _sampler(fields, notes, found, model)
    _parts(fields, notes, found, models)
    _task(fields, notes, found, model)
    as_a_whole(fields, notes, model, models)
    if fields.get("seed", 0) > EXACT:  # JSON's readers would round it
        fields["seed"] = str(fields["seed"])
    return Settings(fields, (*notes, *found.notes, *_remarks(found)))


def _keep(fields: dict[str, Any], notes: list[str], name: str, value: Any) -> None:
    """Take the value over if its field accepts it, else say why not."""
    try:
        fields[name] = getattr(parse_request({name: value}), name)
    except InvalidRequest as error:
        notes.append(f"Left out: {error}")


def _model(fields: dict[str, Any], notes: list[str], file: File | None, models: Sequence[ModelInfo]) -> Model:
    if file is None or not (file.name or file.hash):
        return None
    model, sentence = lookup.model(file, models)
    notes += [sentence] if sentence else []
    if model is not None:
        fields["model"] = model.id
    return model


def _sampler(fields: dict[str, Any], notes: list[str], found: Found, model: Model) -> None:
    """Sampler and spacing as a pair that goes together, on this model if it is known."""
    if not found.sampler and not found.schedule:
        return
    sampler, schedule = sampler_of(found.sampler) if found.sampler else (DEFAULT, "")
    if sampler is None:
        notes.append(f"The sampler {shown(found.sampler)} is not known here; the model's own is used.")
        fields |= {"sampler": DEFAULT, "spacing": DEFAULT}
        return
    spacing = spacing_of(schedule or found.schedule or DEFAULT)
    if spacing is None:
        notes.append(f"The schedule {shown(found.schedule)} is not known here; the default is used.")
    fields |= {"sampler": sampler, "spacing": spacing or DEFAULT}
    pair_up(fields, notes, model)


def pair_up(fields: dict[str, Any], notes: list[str], model: Model) -> None:
    """Flow models' Euler goes by the plain name elsewhere. A sampler or spacing that cannot be used is replaced by the default."""
    sampler, spacing = str(fields.get("sampler", DEFAULT)), str(fields.get("spacing", DEFAULT))
    if model is not None and sampler != DEFAULT and sampler not in (legal := legal_samplers(model)):
        other = next((each for each in (f"flow_{sampler}", sampler.removeprefix("flow_")) if each in legal), None)
        if other is None:
            notes.append(f"The sampler {_title(sampler)} does not work with {model.title}; its own is used.")
            fields |= {"sampler": DEFAULT, "spacing": DEFAULT}
            return
        fields["sampler"] = sampler = other
    if spacing == DEFAULT:
        return
    if sampler == DEFAULT:
        allowed: Sequence[str] = legal_spacings(model, model.defaults.sampler) if model else SPACINGS.names()
    else:
        allowed = legal_spacings(model, sampler) if model else SOLVERS.get(sampler).spacings
    if spacing not in allowed:
        with_sampler = "the model's own sampler" if sampler == DEFAULT else f"the sampler {_title(sampler)}"
        notes.append(
            f"The spacing {SPACINGS.get(spacing).title} does not go with {with_sampler} here; the default is used."
        )
        fields["spacing"] = DEFAULT


def _title(sampler: str) -> str:
    return SOLVERS.get(sampler).title


def _parts(fields: dict[str, Any], notes: list[str], found: Found, models: Sequence[ModelInfo]) -> None:
    """A VAE, LoRAs, and what our own words in the text name; each is checked as a request would."""
    parts = list(found.parts)
    if found.vae is not None and found.vae.name.strip().lower() not in _NO_FILE:
        vae, sentence = lookup.part(found.vae, models, "vae", "VAE")
        notes += [sentence] if sentence else []
        parts += [{"kind": "vae", "model": vae.id}] if vae else []
    for each in found.loras[:MAX_PARTS]:
        lora, sentence = lookup.part(each, models, "lora", "LoRA")
        notes += [f"{sentence.removesuffix('.')} (its weight is {each.weight:g})."] if sentence else []
        if lora is not None:
            own = {} if each.text_weight in (None, each.weight) else {"text_weight": each.text_weight}
            parts.append({"kind": "lora", "model": lora.id, "weight": each.weight, **own})
    if len(found.loras) > MAX_PARTS:
        notes.append(f"Left out: {len(found.loras) - MAX_PARTS} more LoRAs.")
    kept: list[dict[str, Any]] = []
    for part in parts:
        try:
            parse_request({"parts": [*kept, part]})
            kept.append(part)
        except InvalidRequest as error:
            notes.append(f"Left out: {error}")
    if kept:
        fields["parts"] = kept


def _task(fields: dict[str, Any], notes: list[str], found: Found, model: Model) -> None:
    """Image to image with its strength. The picture that it started from is in no file."""
    if found.strength is None:
        return
    try:
        ImageToImage.model_validate({"image": "0" * 64, "strength": found.strength})
    except ValueError:
        notes.append(f"Left out: the strength {found.strength:g} of a run that began from a picture.")
        return
    if model is not None and _TASK not in model.capabilities.tasks:
        notes.append(f"Left out: it was made from another picture, which {model.title} cannot do.")
        return
    fields["task"] = {"kind": _TASK, "strength": found.strength}
    notes.append("It was made from another picture, which the file does not hold; choose one to start from.")


def as_a_whole(fields: dict[str, Any], notes: list[str], model: Model, models: Sequence[ModelInfo]) -> None:
    """Leave out what the model would refuse when the request is made, field by field, and say why. Of a model that is not
    known, what no model would take."""
    if model is None:
        _check_steps(fields, notes)
        return
    task = fields.get("task", {})
    whole = "image" in task or task.get("kind") != _TASK  # a task without its picture is checked when it has one
    for _ in range(len(fields) + len(fields.get("parts", ()))):
        request = fields if whole else {name: value for name, value in fields.items() if name != "task"}
        try:
            resolve(parse_request(request), model, models)
            return
        except InvalidRequest as error:
            if not _drop(fields, error.field or ""):
                notes.append(str(error))
                return
            notes.append(f"Left out: {error}")


def _check_steps(fields: dict[str, Any], notes: list[str]) -> None:
    if fields.get("sampler", DEFAULT) == DEFAULT or "steps" not in fields:
        return
    try:
        check_steps(fields["sampler"], fields["steps"])
    except InvalidRequest as error:
        del fields["steps"]
        notes.append(f"Left out: {error}")


def _drop(fields: dict[str, Any], field: str) -> bool:
    """Take the field out, a part by its place, and of a size both sides; False if there is nothing to take."""
    name, _, rest = field.partition(".")
    place = rest.partition(".")[0]
    if name == "parts" and place.isdecimal() and int(place) < len(fields.get("parts", ())):
        fields["parts"] = [each for number, each in enumerate(fields["parts"]) if number != int(place)]
        return True
    gone = {"width", "height"} if name in ("width", "height") else {name}
    if name == "model" or not gone & fields.keys():
        return False
    for each in gone & fields.keys():
        if each in ("sampler", "spacing") and fields[each] != DEFAULT:
            fields[each] = DEFAULT
        else:
            del fields[each]
    return True


def _remarks(found: Found) -> list[str]:
    remarks = []
    names = list(dict.fromkeys(each[:60] for each in found.unused))
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        remarks.append(f"Not used here: {', '.join(names[:_SHOWN])}{more}.")
    return remarks
