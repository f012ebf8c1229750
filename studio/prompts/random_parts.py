"""Random parts: `{a|b}`, `{2$$a|b|c}`, `{2$$ and $$a|b|c}`, `{0.3::a|b}`, and `__name__`, a line of a wildcard's file.

Which is chosen depends on the seed alone. Expansion is bounded whatever files and braces say.
"""

import random
import re
from collections.abc import Callable, Sequence

from studio.prompts.errors import LONGEST, MAX_DEPTH, PromptError, too_deep
from studio.prompts.tags import TAG

WILDCARD = re.compile(r"__([^\W_]+(?:[-_/.][^\W_]+)*)__")
_RANDOM = re.compile(r"\\[{}|\\]|[{}]|__[^\W_]+(?:[-_/.][^\W_]+)*__")
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_OPTION = re.compile(r"\\.|[{}|]", re.DOTALL)
_COUNT = re.compile(r"(\d{1,3})(?:-(\d{1,3}))?\$\$")
_SHARE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)::")
MOST_LOOKUPS = 1000

Lines = Callable[[str], Sequence[str]]  # the lines of the wildcard of that name; raises PromptError where there is none


def has_random_parts(text: str) -> bool:
    return bool(WILDCARD.search(text)) or bool(braces(text))


def braces(text: str) -> dict[int, int]:
    """Opening brace -> its closing one; those without a partner are text."""
    found: dict[int, int] = {}
    waiting: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            waiting.append(match.start())
            if len(waiting) > MAX_DEPTH:
                raise too_deep(match.start())
        elif match[0] == "}" and waiting:
            found[waiting.pop()] = match.start()
    return found


def expand(text: str, seed: int, lines: Lines) -> str:
    """The text with one choice for each random part, always the same for a seed. Raises PromptError."""
    if not has_random_parts(text) and not re.search(r"\\[{}|]", text):
        return text
    expanded = _Expansion(random.Random(seed), lines).of(text, ())
    if TAG.search(expanded):
        raise PromptError("A LoRA cannot be named inside {…} or by a wildcard; name it in the prompt itself.")
    return expanded


class _Expansion:
    def __init__(self, rng: random.Random, lines: Lines):
        self.rng, self.lines, self.lookups = rng, lines, 0

    def of(self, text: str, inside: tuple[str, ...]) -> str:
        """`inside`: the wildcards whose lines are being expanded."""
        closes = braces(text)
        pieces: list[str] = []
        length = at = 0
        while match := _RANDOM.search(text, at):
            made, after = self._part(text, match, closes, inside)
            pieces += [text[at : match.start()], made]
            length += len(pieces[-1]) + len(pieces[-2])
            if length > LONGEST:
                raise PromptError(f"With its random parts the prompt is longer than {LONGEST:,} characters.")
            at = after
        return "".join((*pieces, text[at:]))

    def _part(
        self, text: str, match: re.Match[str], closes: dict[int, int], inside: tuple[str, ...]
    ) -> tuple[str, int]:
        token = match[0]
        if token == "{" and match.start() in closes:
            close = closes[match.start()]
            return self._choice(text[match.start() + 1 : close], inside), close + 1
        if token.startswith("__"):
            return self._line(token[2:-2], inside, match.span()), match.end()
        plain = token[1] if token[0] == "\\" and token[1] in "{}|" else token
        return plain, match.end()

    def _choice(self, text: str, inside: tuple[str, ...]) -> str:
        least = most = 1
        separator = ", "
        if count := _COUNT.match(text):
            least, most = int(count[1]), int(count[2] or count[1])
            text = text[count.end() :]
            before, found, after = text.partition("$$")
            if found and "|" not in before:
                separator, text = before, after
        options = [_share(option) for option in _options(text)]
        number = min(len(options), least + self._below(max(most - least, 0) + 1))
        chosen: list[str] = []
        for _ in range(number):
            index = self._index([share for share, _ in options])
            chosen.append(self.of(options.pop(index)[1], inside))
        return separator.join(chosen)

    def _line(self, name: str, inside: tuple[str, ...], span: tuple[int, int]) -> str:
        self.lookups += 1
        if name in inside:
            raise PromptError(f"The wildcard {name} refers to itself.", *(span if not inside else (0, 0)))
        if self.lookups > MOST_LOOKUPS:
            raise PromptError(f"The prompt's wildcards lead to more than {MOST_LOOKUPS:,} others.")
        try:
            lines = self.lines(name)
        except PromptError as error:
            raise PromptError(str(error), *(span if not inside else (0, 0))) from None
        return self.of(lines[self._below(len(lines))], (*inside, name))

    def _below(self, number: int) -> int:
        return int(self.rng.random() * number)

    def _index(self, shares: list[float]) -> int:
        at = self.rng.random() * sum(shares)
        for index, share in enumerate(shares):
            at -= share
            if at < 0:
                return index
        return len(shares) - 1


def _options(text: str) -> list[str]:
    """Split at each "|" that is in no braces within."""
    depth, start, found = 0, 0, list[str]()
    for match in _OPTION.finditer(text):
        depth += {"{": 1, "}": -1}.get(match[0], 0)
        if match[0] == "|" and depth == 0:
            found.append(text[start : match.start()])
            start = match.end()
    return [*found, text[start:]]


def _share(option: str) -> tuple[float, str]:
    match = _SHARE.match(option)
    return (float(match[1]), option[match.end() :]) if match else (1.0, option)
