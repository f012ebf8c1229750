"""What is wrong with a prompt, and where in it."""

from studio.core.errors import InvalidRequest

MAX_DEPTH = 60  # brackets inside one another
LONGEST = 20_000  # characters of a prompt, when its random parts are chosen


class PromptError(InvalidRequest):
    """One sentence; `start` and `end` are the characters at fault, where they are known."""

    def __init__(self, message: str, start: int = 0, end: int = 0, *, field: str = "prompt"):
        super().__init__(message, field=field)
        self.start, self.end = start, end


def too_deep(at: int) -> PromptError:
    return PromptError(
        f"More than {MAX_DEPTH} brackets are open inside one another here; close some, or write \\( for a plain bracket.",
        at,
        at + 1,
    )
