"""How many bytes a request may send, by route, and which of Gradio's routes are open. Pure functions, no web framework."""

import json
from typing import Any

from studio.server.policy import Refusal

PICTURE_BYTES = 64 * 2**20
ZIP_BYTES = 2 * PICTURE_BYTES  # of pictures to train on; for more, a folder is chosen at the machine
PICTURE_PATHS = frozenset({"/inputs", "/settings"})
OTHER_BYTES = 2**20  # a form with long prompts is some thousand bytes
ALL_BYTES = 4 * PICTURE_BYTES  # of bodies that are being received or answered at the same time

GRADIO = "/gradio_api/"
# The routes that Gradio's page uses. Others read files by path, fetch addresses, or call functions without the queue.
GRADIO_OPEN = (
    "queue/join", "queue/data", "component_server", "heartbeat/", "reset", "cancel", "startup-events", "theme.css", "info",
)  # fmt: skip
CLOSED = ("/file=", "/proxy=", "/stream/", "/monitoring", "/custom_component/")


def body_limit(path: str) -> int:
    """The most bytes that a request to `path` may send."""
    if path == "/pictures":
        return ZIP_BYTES
    return PICTURE_BYTES if path in PICTURE_PATHS else OTHER_BYTES


def is_gradio(path: str) -> bool:
    return path.lower().startswith(GRADIO)


def judge_path(path: str) -> Refusal | None:
    """None if the path is open; of Gradio's routes only those that its page uses."""
    lower = path.lower()
    if lower.startswith(CLOSED) or (is_gradio(path) and not lower.removeprefix(GRADIO).startswith(GRADIO_OPEN)):
        return Refusal(404, "There is nothing here.")
    return None


def judge_gradio_body(body: bytes) -> Refusal | None:
    """None if Gradio may have the body. Gradio reads the file that any object with a `path` names; no control of the page sends one."""
    if not body:
        return None
    try:
        pending: list[Any] = [json.loads(body)]
    except (ValueError, RecursionError):
        return Refusal(400, "The body is not JSON.")
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if "path" in value:
                return Refusal(403, "The page's requests name no files.")
            pending += value.values()
        elif isinstance(value, list):
            pending += value
    return None
