"""Reads the settings that a picture file carries, whichever program wrote them, as settings of ours."""

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from studio.core.errors import InvalidRequest
from studio.core.fields import shown
from studio.core.models import ModelInfo
from studio.core.recipe import RECIPE_KEY, from_text
from studio.metadata import lookup, stealth
from studio.metadata.containers import read_texts
from studio.metadata.fit import Settings, as_a_whole, fit, pair_up
from studio.metadata.found import PARAMETERS, File, Found, Texts
from studio.metadata.programs import READERS, novelai

NONE = "This picture carries no settings that are known here."


def read(data: bytes, models: Sequence[ModelInfo]) -> Settings:
    """The settings of a picture file, fitted to the models at hand. Raises InvalidRequest, which says what the file carries
    instead, if there are none."""
    texts = Texts(read_texts(data))
    if RECIPE_KEY in texts:
        try:
            return _of_recipe(texts[RECIPE_KEY], models)
        except ValidationError:
            pass  # written by another version, perhaps; the other text is beside it
    found = find(texts)
    if found is None and (hidden := stealth.read(data)):
        found = find(Texts({novelai.STEALTH: hidden, PARAMETERS: hidden}))
    if found is None:
        raise InvalidRequest(_instead(texts))
    settings = fit(found, models)
    if not settings.fields:
        raise InvalidRequest(" ".join([NONE, *settings.notes]))
    return settings


def find(texts: Texts) -> Found | None:
    """What the first program that knows the texts as its own reads from them."""
    return next((found for read in READERS if (found := read(texts)) is not None), None)


def _instead(texts: Texts) -> str:
    """What a picture without settings carries that looks like some."""
    keys = texts.object(texts.main)
    if keys:
        return f"{NONE} It carries JSON of a program that is not known here, with: {', '.join(map(shown, list(keys)[:8]))}."
    return NONE


def _of_recipe(text: str, models: Sequence[ModelInfo]) -> Settings:
    """The settings that make this one image of ours again."""
    recipe = from_text(text)
    fields: dict[str, Any] = recipe.request.model_dump(mode="json")
    fields |= {"seed": recipe.seed, "count": 1, "batch_size": 1}
    notes: list[str] = []
    model, sentence = lookup.model(File(fields.pop("model")), models)
    notes += [sentence] if sentence else []
    if model is not None:
        fields["model"] = model.id
    pair_up(fields, notes, model)
    as_a_whole(fields, notes, model, models)
    return Settings(fields, tuple(notes))
