"""Flags and environment variables -> Settings."""

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from studio.cli.flags import add_fields, flag_of, given
from studio.core.errors import InvalidRequest
from studio.core.fields import specs
from studio.core.settings import Settings

# Names for people: a folder is given one at a time, and the browser can be switched off.
NAMES = {"allow_hosts": "--allow-host"}
# A password on a command line can be read by every user of the machine; the environment cannot.
AUTH_VARIABLE = "UNNOISE_AUTH"
ONLY_MODELS = "--only-models"


def add_settings(parser: argparse.ArgumentParser, *, skip: Iterable[str] = ()) -> None:
    """The flags of Settings, less those named in `skip`."""
    add_fields(parser, Settings, skip=(*skip, "open_browser"), names=NAMES)
    if "models" not in skip:
        parser.add_argument(
            ONLY_MODELS,
            action="append",
            default=[],
            help="The same as --models, but the studio's own models are left out.",
        )
    if "open_browser" not in skip:
        parser.add_argument(
            "--no-browser",
            dest="open_browser",
            action="store_false",
            default=argparse.SUPPRESS,
            help="Do not open the page when the studio is ready.",
        )


def settings_from(arguments: argparse.Namespace) -> Settings:
    """Raises InvalidRequest with one sentence that names the flag at fault."""
    values: dict[str, Any] = given(arguments, Settings)
    if "auth" not in values and os.environ.get(AUTH_VARIABLE):
        values["auth"] = os.environ[AUTH_VARIABLE]
    only = getattr(arguments, "only_models", [])
    if "" in only:
        raise InvalidRequest(f"{ONLY_MODELS} names no folder.", field="models")
    empty = next((name for name in ("outputs", "presets", "models") if "" in _given(values, name)), None)
    if empty:
        raise InvalidRequest(f"{_flag(empty)} names no folder.", field=empty)
    for name in ("outputs", "presets"):
        if name in values:
            values[name] = Path(values[name]).expanduser().absolute()
    if only or "models" in values:
        named = [Path(folder).expanduser().absolute() for folder in (*only, *values.get("models", ()))]
        own = () if only else Settings.model_fields["models"].default
        values["models"] = tuple(dict.fromkeys((*own, *named)))
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        reason = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
        raise InvalidRequest(f"{_flag(name)} {reason}.", field=name) from None


def _flag(name: str) -> str:
    return NAMES.get(name) or flag_of(specs(Settings)[name])


def _given(values: dict[str, Any], name: str) -> tuple[str, ...]:
    value = values.get(name, ())
    return (value,) if isinstance(value, str) else tuple(value)
