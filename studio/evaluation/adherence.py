"""Prompt adherence: do the pictures show the named objects, in the named colours and places, on the named background?

`generate` is any callable from prompts and seeds to pictures; a probe judges them. Independent of pipelines, samplers and
the grammar of prompts. The probe's score on true pictures is reported beside every score, as its upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

from PIL import Image

from studio.core.errors import InvalidRequest

from .expected import Expected, ExpectedObject, ExpectedRelation, Prompt
from .probe import UNCLEAR, Detected, Findings, Probe

Generate = Callable[[Sequence[str], Sequence[int]], list[Image.Image]]
ASPECTS = ("objects", "colours", "places", "ground")
MIDDLE = (0.29, 0.71)
LOW, HIGH = 0.42, 0.58
# By number of objects: from which extent on a "small" one is grossly large, and up to which a "large" one small.
SMALL_BELOW = {1: 0.44, 2: 0.375}
LARGE_ABOVE = {1: 0.42, 2: 0.335}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The judgement of one picture; `failures` are sentences for people."""

    prompt: str
    objects: bool
    colours: bool
    places: bool
    ground: bool
    sizes: bool
    extra: int  # objects that the prompt does not name
    failures: tuple[str, ...]

    @property
    def right(self) -> bool:
        return self.objects and self.colours and self.places and self.ground and self.sizes


@dataclass(frozen=True, slots=True)
class Adherence:
    """Verdicts of a set of pictures."""

    verdicts: tuple[Verdict, ...]

    def rates(self) -> dict[str, float]:
        """The share of pictures that are right, overall and by aspect."""
        n = len(self.verdicts)
        rates = {"all_right": sum(v.right for v in self.verdicts) / n}
        for aspect in (*ASPECTS, "sizes"):
            rates[aspect] = sum(getattr(v, aspect) for v in self.verdicts) / n
        rates["nothing_extra"] = sum(v.extra == 0 for v in self.verdicts) / n
        return {name: round(rate, 4) for name, rate in rates.items()}


def judge(found: Findings, prompt: Prompt) -> Verdict:
    """Compare what the probe detected with what the prompt names."""
    expected = prompt.expected
    seen = match(found.objects, expected)
    failures: dict[str, list[str]] = {name: [] for name in (*ASPECTS, "sizes")}
    for want, got in zip(expected.objects, seen, strict=True):
        if got is None or got.kind != want.kind:
            failures["objects"].append(f"no {want.kind}" + _instead(got))
            continue
        if want.colour is not None and got.colour != want.colour:
            failures["colours"].append(f"{want.kind} {got.colour}, not {want.colour}")
        if want.place is not None and not stands_at(got, want.place, len(expected.objects)):
            failures["places"].append(f"{want.kind} not {want.place}")
        if not _size_fits(got, want, len(expected.objects)):
            failures["sizes"].append(f"{want.kind} not {want.size}")
    failures["places"] += [_say(expected, r) for r in expected.relations if not _holds(seen, r)]
    failures["ground"] += _ground_failures(found, expected)
    extra = max(0, len(found.objects) - len(expected.objects))
    said = tuple(line for lines in failures.values() for line in lines)
    return Verdict(prompt.text, **{name: not lines for name, lines in failures.items()}, extra=extra, failures=said)


def _instead(got: Detected | None) -> str:
    if got is None:
        return ""
    return " but something unclear" if got.kind == UNCLEAR else f" but {_article(got.kind)} {got.kind}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def match(found: Sequence[Detected], expected: Expected) -> list[Detected | None]:
    """The likeliest one-to-one pairing of the expected objects with found ones."""
    slots: list[Detected | None] = [*found, *([None] * len(expected.objects))]
    count = len(expected.objects)

    def fit(pairs: Iterable[Detected | None]) -> float:
        pairing, total = list(pairs), 0.0
        for want, got in zip(expected.objects, pairing, strict=True):
            if got is not None:
                total += 0.05 + got.kind_odds.get(want.kind, 0.0)
                total += 0.5 * got.colour_odds.get(want.colour, 0.0) if want.colour else 0.0
                total += 0.1 * (want.place is not None and stands_at(got, want.place, count))
        return total + 0.1 * sum(_holds(pairing, r) for r in expected.relations)

    return list(max(permutations(slots, count), key=fit))


def stands_at(got: Detected, place: str, count: int) -> bool:
    """Whether an object's centre is in the named part of the picture (thirds, with some tolerance)."""
    if place == "middle":
        level = count > 1 or MIDDLE[0] < got.y < MIDDLE[1]  # in a row only the column counts
        return MIDDLE[0] < got.x < MIDDLE[1] and level
    tests = {"left": got.x < LOW, "right": got.x > HIGH, "top": got.y < LOW, "bottom": got.y > HIGH}
    return all(tests[word] for word in place.split())


def _size_fits(got: Detected, want: ExpectedObject, count: int) -> bool:
    if want.size == "small" and count in SMALL_BELOW:
        return got.extent < SMALL_BELOW[count]
    if want.size == "large" and count in LARGE_ABOVE:
        return got.extent > LARGE_ABOVE[count]
    return True


def _holds(seen: Sequence[Detected | None], relation: ExpectedRelation) -> bool:
    first, second = seen[relation.first], seen[relation.second]
    if first is None or second is None:
        return False
    across, down = second.x - first.x, second.y - first.y
    if relation.name == "left of":
        return across > 0.1 and across > 0.7 * abs(down)
    if relation.name == "above":
        return down > 0.1 and down > 0.7 * abs(across)
    return abs(across) > abs(down)  # next to


def _say(expected: Expected, relation: ExpectedRelation) -> str:
    first, second = expected.objects[relation.first], expected.objects[relation.second]
    return f"{first.kind} not {relation.name} {second.kind}"


def _ground_failures(found: Findings, expected: Expected) -> list[str]:
    want = expected.ground
    if want.kind is not None and found.ground != want.kind:
        return [f"ground {found.ground}, not {want.kind}"]
    if want.colour is not None and found.ground_colour != want.colour:
        return [f"ground {found.ground_colour}, not {want.colour}"]
    return []


def score(images: Sequence[Any], prompts: Sequence[Prompt], probe: Probe) -> Adherence:
    """Judge each picture by its prompt."""
    if not prompts or len(images) != len(prompts):
        raise InvalidRequest(f"There are {len(images)} pictures for {len(prompts)} prompts; give one for each.")
    return Adherence(tuple(judge(f, p) for f, p in zip(probe.look(images), prompts, strict=True)))


def evaluate(
    generate: Generate,
    prompts: Sequence[Prompt],
    probe: Probe,
    *,
    seed: int = 0,  # picture k is made with seed + k
    control: tuple[Sequence[Any], Sequence[Prompt]] | None = None,  # true pictures, to measure the probe itself
) -> tuple[Adherence, list[Image.Image], dict[str, Any]]:
    """Make the pictures, judge them, and return verdicts, pictures and a JSON-clean report."""
    images = generate([p.text for p in prompts], [seed + k for k in range(len(prompts))])
    adherence = score(images, prompts, probe)
    probe_rates = score(*control, probe).rates() if control is not None else probe.spec.accuracy
    report = {
        "prompts": len(prompts),
        "seed": seed,
        "right": sum(v.right for v in adherence.verdicts),
        "rates": adherence.rates(),
        "probe": probe_rates,
        "failures": [
            {"number": k, "prompt": v.prompt, "failures": list(v.failures)}
            for k, v in enumerate(adherence.verdicts)
            if not v.right
        ],
    }
    return adherence, images, report
