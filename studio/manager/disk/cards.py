"""The card of a model, `unnoise.json` in its folder or `NAME.unnoise.json` beside its file, and the user's own settings.

    {"title": "Tiny World", "description": "...", "shipped": true, "distilled": false,
     "defaults": {"sampler": "dpmpp_2m", "spacing": "karras", "steps": 20, "guidance_scale": 4.0}}

Every key is optional. "vocabulary" lists all words that the model knows, in groups by title ("" for those that name
nothing). "recipe" names the training recipe that the model was made by. "family", "variant" and "prediction" override what was read of the model; "vae" is the id of an
autoencoder's file that decodes in place of its own; "hidden" keeps it out of lists and menus, and a shipped file that is
hidden is no model at all. The user's settings go before the card, and are kept in a file of ours.
"""

import json
import os
import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import InvalidRequest, ModelError, StorageError, UnknownName
from studio.core.models import MODEL_KINDS, Defaults, ModelInfo, Override, Prediction
from studio.core.request import GenerationRequest
from studio.manager.disk.safe_files import json_or_nothing, read_json, readable
from studio.manager.families import FAMILIES

CARD = "unnoise.json"
OF_ANY_FILE = frozenset({"title", "hidden"})


class Card(BaseModel):
    """What a model says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str | None = None
    description: str = ""
    vocabulary: dict[str, tuple[str, ...]] = {}
    recipe: str = ""
    shipped: bool = False
    distilled: bool = False
    defaults: dict[str, Any] = {}
    family: str | None = None
    variant: str | None = None
    prediction: Prediction | None = None
    vae: str | None = None
    hidden: bool | None = None  # kept out of lists and menus

    def applied(self, info: ModelInfo) -> ModelInfo:
        """`info` with what the card says of it. Raises ModelError for defaults that no request may have."""
        try:
            defaults = Defaults(**(info.defaults.model_dump() | self.defaults))
            GenerationRequest(**{name: getattr(defaults, name) for name in self.defaults})
        except ValidationError as error:
            raise ModelError(f"The defaults in its {CARD} are not valid at {_place(error)!r}.") from None
        return info.model_copy(
            update={
                "title": readable(self.title or info.title),
                "description": self.description or info.description,
                "vocabulary": self.vocabulary,
                "recipe": self.recipe,
                "shipped": self.shipped,
                "defaults": defaults,
                "vae": self.vae,
                "hidden": bool(self.hidden),
                "overridden": tuple(name for name in Override.model_fields if getattr(self, name) is not None),
            }
        )


def card_of(path: Path) -> Path:
    """Where the card of a model lies: inside a folder, beside a file."""
    return path / CARD if os.path.isdir(path) else path.with_suffix(f".{CARD}")


def read_card(file: Path, own: dict[str, Any] | None = None) -> Card:
    """The card of a model, empty where there is none; `own` are the user's settings, which go before it. Raises ModelError if
    it is not understood."""
    try:
        return Card(**((read_json(file) if os.path.lexists(file) else {}) | (own or {})))
    except ValidationError as error:
        raise ModelError(f"Its {file.name} is not understood at {_place(error)!r}.") from None


def _place(error: ValidationError) -> str:
    return ".".join(str(part) for part in error.errors()[0]["loc"])


class Overrides:
    """The user's settings, by the models' paths, in `file`; None: nothing is kept. Safe to use from several threads."""

    def __init__(self, file: Path | None):
        self._file = file
        self._lock = threading.Lock()

    def kept(self) -> dict[str, dict[str, Any]]:
        """Model's path -> fields of its card; a file that is not understood keeps nothing."""
        rows = json_or_nothing(self._file) if self._file else {}
        return {model: _known(row) for model, row in rows.items() if isinstance(row, dict)}

    def write(self, model: Path, changes: Override) -> None:
        """Keep the fields that are given; None takes one back, first the user's own, then the card's. Raises StorageError, or
        ModelError for a broken card."""
        if self._file is None:
            raise StorageError("The model's settings cannot be kept: there is no folder for them.")
        beside = read_json(card_of(model)) if os.path.lexists(card_of(model)) else {}
        with self._lock:
            rows = self.kept()
            mine = rows.pop(key := str(model.absolute()), {})
            for name, value in changes.model_dump(exclude_unset=True).items():
                if value is None and (name in mine or name not in beside):
                    mine.pop(name, None)
                else:
                    mine[name] = value
            try:
                write_json(self._file, rows | ({key: mine} if mine else {}))
            except OSError as error:
                raise StorageError(f"The model's settings could not be kept: {error.strerror or error}.") from None


def check_override(info: ModelInfo, changes: Override, models: list[ModelInfo]) -> None:
    """Refuse a setting that names nothing: an unknown family, a VAE that is not here. Raises InvalidRequest."""
    if info.kind not in MODEL_KINDS and changes.model_fields_set - OF_ANY_FILE:
        raise InvalidRequest(f"{info.title} is no model that makes pictures; only its title can be set.")
    if changes.family is not None:
        if info.kind == "diffusers":
            raise InvalidRequest("The family of a diffusers folder is what its model_index.json names.", field="family")
        FAMILIES.get(changes.family, field="family")
    if changes.vae is not None:
        usable = sorted(model.id for model in models if model.kind == "vae" and model.problem is None)
        if changes.vae not in usable:
            raise UnknownName("VAE", changes.vae, usable, field="vae")


def write_json(file: Path, values: dict[str, Any]) -> None:
    """The file is there whole or not at all, and on the disk when this returns. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name[:80]}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as out:
            json.dump(values, out, indent=2)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _known(row: dict[str, Any]) -> dict[str, Any]:
    kinds = dict.fromkeys(Override.model_fields, str | None) | {"hidden": bool | None}
    return {name: value for name, value in row.items() if name in kinds and isinstance(value, kinds[name])}
