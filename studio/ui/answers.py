"""Answers to what the page asks of the studio by itself: plain values, or one sentence of why not, whatever the page sent."""

import logging
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError

from studio.core.errors import StudioError
from studio.core.memory import MemoryCommand, PlanRequest
from studio.core.protocol import Studio

log = logging.getLogger(__name__)

NONSENSE = {"problem": "The page asked for something that is not known here."}


def answered(answer: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    """The answer, or {"problem": sentence}: what the page sent may be anything."""
    try:
        return answer() or {}
    except StudioError as error:
        return {"problem": str(error)}
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]) if first["loc"] else ""
        known = first["type"] not in ("missing", "extra_forbidden") and name in (*PlanRequest.model_fields, "title")
        return {"problem": f"{name.capitalize()}: {first['msg'].lower()}."} if known else NONSENSE
    except (TypeError, KeyError, AttributeError):
        return NONSENSE
    except Exception:
        log.exception("a question of the page could not be answered")
        return {"problem": "Something went wrong inside the studio; its log says what."}


def managed(studio: Studio, command: Any) -> dict[str, Any]:
    """Pass a command of the page on to the worker; {} if it was accepted, else one sentence."""
    return answered(lambda: studio.manage(MemoryCommand(**command)))
