"""`<lora:name:0.8>` in a prompt: a LoRA part of the request. Of two weights the first is the text encoder's, as in A1111."""

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from studio.core.models import ModelInfo
from studio.core.parts import LoRA
from studio.prompts.errors import PromptError

TAG = re.compile(r"<(?:lora|lyco):([^<>:]*)((?::[^<>:]*)*)>")
MOST_WEIGHT = 4.0


@dataclass(frozen=True)
class Tag:
    """`text_weight` None: as `weight`."""

    start: int
    end: int
    name: str
    weight: float
    text_weight: float | None


def tags_of(text: str) -> tuple[Tag, ...]:
    """Raises PromptError for a tag whose weights are none."""
    return tuple(_tag(match) for match in TAG.finditer(text))


def without_tags(text: str) -> str:
    return TAG.sub("", text).strip() if TAG.search(text) else text


def lora_of(tag: Tag, models: Sequence[ModelInfo]) -> LoRA:
    """The part. Raises PromptError for a name that no LoRA here has, naming those that are spelled like it."""
    loras = [each for each in models if each.kind == "lora"]
    named = [each for each in loras if tag.name in (each.id, each.id.rsplit("/", 1)[-1], each.title)]
    if not named:
        names = {each.id.rsplit("/", 1)[-1].lower(): each.id.rsplit("/", 1)[-1] for each in loras}
        near = [names[name] for name in difflib.get_close_matches(tag.name.lower(), names, n=3, cutoff=0.5)]
        advice = f"Near matches: {', '.join(near)}." if near else "The Models tab lists those that are here."
        raise PromptError(f"There is no LoRA called {tag.name[:80]!r}. {advice}", tag.start, tag.end)
    return LoRA(model=named[0].id if len(named) == 1 else tag.name, weight=tag.weight, text_weight=tag.text_weight)


def _tag(match: re.Match[str]) -> Tag:
    named = dict(each.split("=", 1) for each in match[2].split(":")[1:] if "=" in each)
    plain = [each for each in match[2].split(":")[1:] if "=" not in each]
    if not match[1].strip() or len(plain) > 2:
        raise PromptError(
            f"A LoRA is written <lora:name:0.8> or <lora:name:0.8:0.6>, not {match[0][:60]}.", *match.span()
        )
    text = _weight(named.get("te", plain[0] if plain else "1"), match)
    denoiser = _weight(named.get("unet", plain[1] if len(plain) > 1 else str(text)), match)
    return Tag(match.start(), match.end(), match[1].strip(), denoiser, None if text == denoiser else text)


def _weight(text: str, match: re.Match[str]) -> float:
    try:
        weight = float(text)
    except ValueError:
        weight = float("nan")
    if not -MOST_WEIGHT <= weight <= MOST_WEIGHT:
        raise PromptError(
            f"The weight in {match[0][:60]} must be a number from -{MOST_WEIGHT:g} to {MOST_WEIGHT:g}.", *match.span()
        )
    return weight
