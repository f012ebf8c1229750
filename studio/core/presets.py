"""Presets and styles as data files: read, checked against the request's own fields, and listed.

A file that is wrong is left out with a sentence in the log; taste must never stop the window from opening.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from studio.core.errors import InvalidRequest
from studio.core.request import parse_request

log = logging.getLogger(__name__)

Item = TypeVar("Item", bound=BaseModel)


class Preset(BaseModel):
    """A named set of settings (`values` are fields of GenerationRequest), from presets/*.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    description: str = ""
    values: dict[str, Any] = {}


class Style(BaseModel):
    """Words put around a prompt: `prompt` holds "{prompt}" where the person's words go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str
    prompt: str = "{prompt}"
    negative_prompt: str = ""


def read_presets(folder: Path) -> list[Preset]:
    """The presets of `generation/*.yaml`, each file a list, in the order of file names."""
    presets: dict[str, Preset] = {}
    for file in sorted((folder / "generation").glob("*.yaml")):
        for preset in _items(file, Preset):
            try:
                parse_request(preset.values)
            except InvalidRequest as error:
                log.warning("Preset %s in %s is left out: %s", preset.name, file.name, error)
                continue
            presets.setdefault(preset.name, preset)
    return list(presets.values())


def read_styles(folder: Path) -> list[Style]:
    """The styles of `styles.yaml`; each prompt has the place for the person's words exactly once."""
    styles: dict[str, Style] = {}
    for style in _items(folder / "styles.yaml", Style):
        if style.prompt.count("{prompt}") != 1:
            log.warning("Style %s is left out: its prompt needs {prompt} exactly once.", style.name)
            continue
        styles.setdefault(style.name, style)
    return list(styles.values())


def _items(file: Path, kind: type[Item]) -> Iterator[Item]:
    try:
        rows: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        log.warning("%s cannot be read and is left out.", file.name)
        return
    for row in rows if isinstance(rows, list) else []:
        try:
            yield kind.model_validate(row)
        except ValidationError as error:
            log.warning("An entry of %s is left out: %s.", file.name, error.errors()[0]["msg"])
