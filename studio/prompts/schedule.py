"""Prompts that change while the picture is made: `[from:to:0.4]`, `[to:6]`, `[from::0.4]`, and `[a|b]` step by step.

A number with a point is a share of the steps, one without is a step. The rules and the results are those of A1111's
`get_learned_conditioning_prompt_schedules`; brackets that are none of these stay as they are, for `weights.py`.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from studio.prompts.errors import MAX_DEPTH, too_deep

_BRACKET = re.compile(r"\\.|[()\[\]]", re.DOTALL)
_OPENING = re.compile(r"\\.|\[", re.DOTALL)
_INSIDE = re.compile(r"\\.|[(\[:|]", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)")
_OPENS = {")": "(", "]": "["}

Slice = tuple[int, int]  # of the text


@dataclass(frozen=True)
class Switch:
    """`before` up to the step `when`, `after` from then on."""

    span: Slice
    before: "tuple[Node, ...]"
    after: "tuple[Node, ...]"
    when: str

    def last_step(self, steps: int) -> int:
        """The last step, from 1, that `before` is used for."""
        number = float(self.when)
        return min(steps, int(number * steps if "." in self.when else number))


@dataclass(frozen=True)
class Alternation:
    """Each of the options in turn, a step each."""

    span: Slice
    options: "tuple[tuple[Node, ...], ...]"


Node = Slice | Switch | Alternation


@dataclass(frozen=True)
class Text:
    """A prompt as it is at some step; `slices` say where in the whole its characters were written."""

    text: str
    slices: tuple[Slice, ...]

    @cached_property
    def _starts(self) -> list[int]:
        starts, at = [], 0
        for start, end in self.slices:
            starts.append(at)
            at += end - start
        return starts

    def source(self, at: int) -> int:
        """Where in the whole the character at `at` was written."""
        number = bisect_right(self._starts, at) - 1
        return self.slices[number][0] + at - self._starts[number] if number >= 0 else at


@dataclass(frozen=True)
class Schedule:
    """A prompt with what changes in it."""

    text: str
    nodes: tuple[Node, ...]

    @property
    def changes(self) -> bool:
        return any(not isinstance(node, tuple) for node in self.nodes)

    def at(self, step: int, steps: int) -> Text:
        """The prompt of a step, counted from 1."""
        slices = tuple(_slices(self.nodes, step, steps))
        return Text("".join(self.text[start:end] for start, end in slices), slices)

    def rows(self, steps: int) -> list[tuple[int, str]]:
        """(last step, prompt up to it), in order; the last of all is `steps`."""
        return [(end, self.at(end, steps).text) for end in sorted(_ends(self.nodes, steps) | {steps})]

    def choices(self) -> Iterator[Switch | Alternation]:
        """All that changes, at any depth."""
        waiting = list(self.nodes)
        while waiting:
            node = waiting.pop()
            if isinstance(node, tuple):
                continue
            yield node
            inner = (node.before, node.after) if isinstance(node, Switch) else node.options
            waiting += [each for nodes in inner for each in nodes]


def schedule_of(text: str) -> Schedule:
    """Raises PromptError where brackets are nested too deep. Takes time linear in the text."""
    return Schedule(text, _Parser(text).nodes(0, len(text)))


class _Parser:
    def __init__(self, text: str):
        self.text, self.closes = text, _pairs(text)

    def nodes(self, start: int, end: int) -> tuple[Node, ...]:
        found: list[Node] = []
        plain = at = start
        while match := _OPENING.search(self.text, at, end):
            at = match.end()
            close = self.closes.get(match.start())
            node = self._choice(match.start(), close) if close is not None else None
            if node is not None:
                found += [(plain, match.start()), node]
                plain = at = node.span[1]
        return (*found, (plain, end))

    def _choice(self, opening: int, close: int) -> Switch | Alternation | None:
        colons, bars = self._separators(opening + 1, close)
        span, start = (opening, close + 1), opening + 1
        number = self.text[colons[-1] + 1 : close].strip() if colons else ""
        if len(colons) in (1, 2) and _NUMBER.fullmatch(number):
            before = self.nodes(start, colons[0]) if len(colons) == 2 else ()
            after = self.nodes(colons[0] + 1 if len(colons) == 2 else start, colons[-1])
            return Switch(span, before, after, number)
        if bars and not colons:
            edges = [start - 1, *bars, close]
            return Alternation(span, tuple(self.nodes(a + 1, b) for a, b in pairwise(edges)))
        return None

    def _separators(self, start: int, end: int) -> tuple[list[int], list[int]]:
        """Where ":" and "|" are, outside brackets within."""
        found: dict[str, list[int]] = {":": [], "|": []}
        at = start
        while match := _INSIDE.search(self.text, at, end):
            at = match.end()
            if match[0] in found:
                found[match[0]].append(match.start())
            elif match[0] in "([":
                at = self.closes[match.start()] + 1
        return found[":"], found["|"]


def _pairs(text: str) -> dict[int, int]:
    """Opening bracket -> its closing one. A bracket that holds an unmatched one has no partner either."""
    pairs: dict[int, int] = {}
    waiting: list[tuple[str, int]] = []
    for match in _BRACKET.finditer(text):
        bracket = match[0]
        if bracket in "([":
            waiting.append((bracket, match.start()))
            if len(waiting) > MAX_DEPTH:
                raise too_deep(match.start())
        elif bracket in _OPENS:
            if waiting and waiting[-1][0] == _OPENS[bracket]:
                pairs[waiting.pop()[1]] = match.start()
            else:
                waiting.clear()
    return pairs


def _slices(nodes: tuple[Node, ...], step: int, steps: int) -> Iterator[Slice]:
    for node in nodes:
        if isinstance(node, Switch):
            yield from _slices(node.before if step <= node.last_step(steps) else node.after, step, steps)
        elif isinstance(node, Alternation):
            yield from _slices(node.options[(step - 1) % len(node.options)], step, steps)
        elif node[0] < node[1]:
            yield node


def _ends(nodes: tuple[Node, ...], steps: int) -> set[int]:
    """The steps after which the prompt changes."""
    ends: set[int] = set()
    for choice in Schedule("", nodes).choices():
        if isinstance(choice, Alternation):
            return set(range(1, steps + 1))
        if choice.last_step(steps) >= 1:
            ends.add(choice.last_step(steps))
    return ends
