"""What a page is answered that asks the studio by itself: plain values, or one sentence of why not, whatever it sent."""

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
    """What the page is told; what it sent may be anything, so whatever goes wrong is a sentence."""
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
        return {"problem": "The studio made a mistake here; its log says more."}


def managed(studio: Studio, command: Any) -> dict[str, Any]:
    """Hand a wish of the page to the worker; {} if it was taken, else one sentence."""
    return answered(lambda: studio.manage(MemoryCommand(**command)))
