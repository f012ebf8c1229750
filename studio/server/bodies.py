"""Reads what a request sends."""

from typing import Any

from fastapi import Request

from studio.core.errors import InvalidRequest


async def json_object(request: Request) -> dict[str, Any]:
    try:
        values = await request.json()
    except (ValueError, RecursionError):  # the latter for brackets nested without end
        raise InvalidRequest("The body is not JSON.") from None
    if not isinstance(values, dict):
        raise InvalidRequest("The body must be a JSON object of names with values.")
    return values
