"""The AUTOMATIC1111 "infotext": its grammar, written and read, and what its words mean as settings of ours.

    infotext  = prompt ["\\nNegative prompt: " negative] "\\n" params     ; prompts may hold newlines
    params    = item *(", " item)
    item      = key ": " value / key                                     ; bare key when key == value
    value     = raw / JSON string / JSON value                           ; quoted if it holds "," ":" or a newline

Knows names only; whether a model or a sampler exists here is for the reader's owner to say. Reading takes time linear in
the text, whatever it holds.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from studio import __version__
from studio.core.fields import specs
from studio.core.parts import PartBase
from studio.core.recipe import Recipe
from studio.core.request import DEFAULT

NEGATIVE = "Negative prompt:"
_KEY = re.compile(r"\w[\w \-/]+")
_JSON = json.JSONDecoder()
_MAX_KEY = 100  # characters; what is longer is no key
_SIZE = re.compile(r"^(\d+)x(\d+)$")
_LEAST_ITEMS = 3  # fewer matches in the last line, and it is prompt

# Our sampler names and theirs. pndm is what they call PLMS; the flow samplers have no names of their own there.
SAMPLERS = {
    "ddpm": "DDPM",
    "ddim": "DDIM",
    "pndm": "PLMS",
    "lms": "LMS",
    "euler": "Euler",
    "euler_a": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm2_a": "DPM2 a",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2s": "DPM++ 2S",
    "dpmpp_2s_a": "DPM++ 2S a",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "deis": "DEIS",
    "unipc": "UniPC",
    "sa_solver": "SA Solver",
    "lcm": "LCM",
    "tcd": "TCD",
    "cm": "CM",
    "flow_euler": "Euler",
    "flow_heun": "Heun",
    "flow_unipc": "UniPC",
    "flow_dpmpp_2m": "DPM++ 2M",
    "own": "Own",
}
SPACINGS = {
    "karras": "Karras",
    "exponential": "Exponential",
    "beta": "Beta",
    "linspace": "Uniform",
    "leading": "DDIM",
    "trailing": "Trailing",
    "sgm_uniform": "SGM Uniform",
    "ays": "Align Your Steps",
    "lu": "Lu",
}


@dataclass(frozen=True)
class Infotext:
    """One infotext taken apart. `params` keeps the order of the text."""

    prompt: str = ""
    negative_prompt: str = ""
    params: dict[str, str] = field(default_factory=dict)


def write(recipe: Recipe) -> str:
    """The infotext of one image: what A1111 has words for under its keys, tasks and parts as their fields declare."""
    request = recipe.request
    params: dict[str, Any] = {
        "Steps": request.steps,
        "Sampler": SAMPLERS.get(request.sampler, request.sampler),
        "Schedule type": None if request.spacing == DEFAULT else SPACINGS.get(request.spacing, request.spacing),
        "CFG scale": request.guidance_scale,
        "Seed": recipe.seed,
        "Size": f"{request.width}x{request.height}",
        "Model hash": _short_hash(recipe),
        "Model": recipe.model.rsplit("/", 1)[-1],
        "RNG": recipe.rng.upper(),
        "Guidance rescale": request.guidance_rescale or None,
        "Clip skip": request.clip_skip if request.clip_skip > 1 else None,
        "Prompt syntax": request.syntax if request.syntax == "literal" else None,
        **_of_value(request.task),
    }
    counts: dict[str, int] = {}
    for part in request.parts:
        number = counts[part.kind] = counts.get(part.kind, -1) + 1
        params |= _of_part(part, number)
    params["Version"] = f"unnoise {__version__}"
    shown = {key: _plain(value) for key, value in params.items() if value is not None}
    return compose(Infotext(request.prompt, request.negative_prompt, shown))


def _of_value(value: BaseModel) -> dict[str, Any]:
    """A task's fields, or a part's that A1111 has keys for; none for one that is nothing by default, and is. A picture goes by
    its hash."""
    found = {name: spec for name, spec in specs(type(value)).items() if spec.default or getattr(value, name)}
    return {spec.extra.infotext or spec.title: getattr(value, name) for name, spec in found.items()}


def _of_part(part: PartBase, number: int) -> dict[str, Any]:
    """The keys that its fields declare; else one key for the whole, as A1111's extensions have it."""
    fields = {name: spec for name, spec in specs(type(part)).items() if getattr(part, name) is not None}
    if all(spec.extra.infotext for spec in fields.values()):
        return {spec.extra.infotext: getattr(part, name) for name, spec in fields.items()}
    return {f"{part.title} {number}": ", ".join(f"{s.title}: {_plain(getattr(part, n))}" for n, s in fields.items())}


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def compose(text: Infotext) -> str:
    """The grammar's text; the inverse of `parse` for params of at least three items."""
    items = [key if key == value else f"{key}: {_quoted(value)}" for key, value in text.params.items()]
    negative = f"\n{NEGATIVE} {text.negative_prompt}" if text.negative_prompt else ""
    return f"{text.prompt}{negative}\n{', '.join(items)}"


def parse(text: str) -> Infotext:
    """Take an infotext apart. Never fails: what is no list of parameters is prompt."""
    body, _, last = text.rstrip().rpartition("\n")
    items = list(split_items(last))
    if len(items) < _LEAST_ITEMS:
        body, items = _before_template(text.strip())
    prompt, negative = _split_prompts(body)
    params: dict[str, str] = {}
    for key, raw in items:
        value = _unquoted(raw)
        if size := _SIZE.match(value):
            params[f"{key}-1"], params[f"{key}-2"] = size[1], size[2]
        else:
            params[key] = value
    return Infotext(prompt, negative, params)


def _before_template(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The prompts and items of a text whose last line is none of parameters: an extension may have written its template
    behind them."""
    place = text.rfind("\nSteps: ")
    body, line = (text[:place], text[place + 1 :].partition("\n")[0]) if place >= 0 else ("", "")
    items = list(split_items(line))
    return (body, items) if len(items) >= _LEAST_ITEMS else (text, [])


def split_items(line: str) -> Iterator[tuple[str, str]]:
    """The (key, raw value) pairs of a list of parameters; what is between them without a colon is skipped.

    Each character is looked at a few times at most: `colon` and `comma` only move forward, a quotation ends at the next
    quote at the latest, and a JSON value that turns out to be none is the last that is tried.
    """
    at, colon, comma, json_tried = 0, -1, -1, False
    while (colon := _next(line, ":", at, colon)) >= 0:
        comma = _next(line, ",", at, comma)
        if 0 <= comma < colon:
            at = comma + 1
            continue
        key, start = line[at:colon].strip() if colon - at <= _MAX_KEY else "", colon + 1
        while line[start : start + 1].isspace():
            start += 1
        end = -1
        if line.startswith('"', start):
            end = _quotation_end(line, start)
        elif line.startswith(("{", "["), start) and not json_tried:
            end = _json_end(line, start)
            json_tried = end < 0
        if end < 0:
            comma = _next(line, ",", start, comma)
            end = comma if comma >= 0 else len(line)
        if _KEY.fullmatch(key):
            yield key, line[start:end].rstrip()
        at = end + 1


def _next(text: str, character: str, start: int, known: int) -> int:
    """The character's first place from `start` on, or -1; `known` is what the last such question found, and saves a search."""
    if known >= start:
        return known
    return text.find(character, start)


def _quotation_end(line: str, start: int) -> int:
    """Where the quotation that begins at `start` is over, if a comma or the end of the line follows it; else -1."""
    quote = line.find('"', start + 1)
    while quote > 0 and _is_escaped(line, quote, start):
        quote = line.find('"', quote + 1)
    return _item_end(line, quote + 1) if quote > 0 else -1


def _is_escaped(line: str, at: int, start: int) -> bool:
    first = at
    while first - 1 > start and line[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1


def _json_end(line: str, start: int) -> int:
    """Where the JSON object or list that begins at `start` is over; -1 if it is none."""
    try:
        return _item_end(line, _JSON.raw_decode(line, start)[1])
    except (ValueError, RecursionError):
        return -1


def _item_end(line: str, at: int) -> int:
    """The end of the item whose value ends at `at`: nothing but blanks may come before the comma."""
    while at < len(line) and line[at].isspace():
        at += 1
    return at if at == len(line) or line[at] == "," else -1


def _split_prompts(body: str) -> tuple[str, str]:
    if body.startswith(NEGATIVE):
        return "", body[len(NEGATIVE) :].removeprefix(" ")
    prompt, found, negative = body.partition(f"\n{NEGATIVE}")
    return prompt, negative.removeprefix(" ") if found else ""


def _quoted(value: str) -> str:
    if any(c in value for c in ",:\n") or value.startswith('"') or value != value.strip():
        return json.dumps(value, ensure_ascii=False)
    return value


def _unquoted(value: str) -> str:
    if len(value) < 2 or value[0] != '"' or value[-1] != '"':
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value


def _short_hash(recipe: Recipe) -> str | None:
    """Ten digits of the denoiser's hash, or of the only file's; None if the recipe has none."""
    for name in ("unet", "transformer", *sorted(recipe.weights)):
        if name in recipe.weights:
            return recipe.weights[name][:10]
    return None
