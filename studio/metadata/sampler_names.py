"""What other programs call samplers and schedules, and which of ours they mean: one table for all of them.

A name is looked up without its case, blanks, dashes and underscores, "++" as "pp" and "ancestral" as "a", so that
"DPM++ 2M", "dpmpp_2m" and "k_dpmpp_2m" are one.
"""

import re

from studio.core.infotext import SAMPLERS as A1111_SAMPLERS
from studio.core.infotext import SPACINGS as A1111_SPACINGS
from studio.core.request import DEFAULT
from studio.core.samplers import SOLVERS, SPACINGS

# Ours -> further names than our own and A1111's. In brackets who uses them.
_SAMPLERS = {
    "euler_a": ("euler ancestral",),
    "dpm2": ("kdpm2",),  # (InvokeAI, SD.Next)
    "dpm2_a": ("kdpm2 a",),
    "dpmpp_2m": ("dpm2m", "dpmpp2"),  # (Civitai's API; InvokeAI 2)
    "dpmpp_2m_sde": ("dpm2msde",),
    "dpmpp_sde": ("dpm sde",),  # (Civitai's API, SD.Next)
    "dpmpp_2s_a": ("dpm++ 2s ancestral", "dpm2sa"),
    "dpmpp_3m_sde": ("dpm3msde",),
    "lms": ("lmsd",),  # (SD.Next)
    "pndm": ("plms",),
    "ddim": ("ddim v3",),  # (NovelAI)
    "unipc": ("uni pc bh2",),  # the variant that ours is (ComfyUI)
    "cm": ("cmsi", "consistency"),
    "flow_euler": ("euler flowmatch",),  # (SD.Next)
    "flow_heun": ("heun flowmatch",),
    "flow_unipc": ("unipc flowmatch",),
    "flow_dpmpp_2m": ("dpm2++ 2m flowmatch",),
}
_SPACINGS = {
    DEFAULT: ("automatic", "default", "flowmatch"),
    "linspace": ("uniform", "normal", "native"),  # (ComfyUI and Forge; NovelAI)
    "trailing": ("simple",),  # every (T / steps)th level from the last one, as trailing has it (ComfyUI)
    "leading": ("ddim uniform",),
    "sgm_uniform": ("sgm",),
    "ays": ("align your steps",),
    "beta": ("betas",),  # (SD.Next)
    "lu": ("lambdas",),
}
_UNNAMED = frozenset({"default", "none", "automatic"})  # the model's own (SD.Next)
_APART = re.compile(r"[\W_]+")


def _plain(name: str) -> str:
    lowered = name.lower().strip().removeprefix("k_").replace("++", "pp")
    joined = _APART.sub("", lowered).replace("ancestral", "a")
    return joined.removesuffix("gpu")  # ComfyUI's word for where the noise of the same sampler is drawn


def _table(ours: list[str], theirs: dict[str, str], more: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Plain name -> ours; of two with one name the first counts, so that the plain sampler comes before the flow one."""
    table: dict[str, str] = {}
    for name in ours:
        for each in (name, theirs.get(name, name), *more.get(name, ())):
            table.setdefault(_plain(each), name)
    return table


SAMPLER_OF = _table([name for name, _ in SOLVERS.items()], A1111_SAMPLERS, _SAMPLERS)
SPACING_OF = _table([name for name, _ in SPACINGS.items()], A1111_SPACINGS, _SPACINGS)
_SUFFIXES = sorted((each for each in SPACING_OF if each not in SAMPLER_OF), key=len, reverse=True)
_MAX_NAME = 100  # characters


def spacing_of(schedule: str) -> str | None:
    """Our spacing for a schedule's name; None for one that is not known here."""
    return SPACING_OF.get(_plain(schedule)) if len(schedule) <= _MAX_NAME else None


def sampler_of(sampler: str) -> tuple[str | None, str]:
    """(our sampler or None, the schedule that is part of its name or ""): "DPM++ 2M Karras" is ("dpmpp_2m", "karras")."""
    if len(sampler) > _MAX_NAME:
        return None, ""
    plain = _plain(sampler)
    if plain in _UNNAMED:
        return DEFAULT, ""
    if plain in SAMPLER_OF:
        return SAMPLER_OF[plain], ""
    for suffix in _SUFFIXES:
        if plain.endswith(suffix) and (name := SAMPLER_OF.get(plain.removesuffix(suffix))):
            return name, SPACING_OF[suffix]
    return None, ""
