"""What models distilled for few steps are best used with, by the names they are published under; their headers are their teachers'.

Each row is a publisher's own advice for the method; where a checkpoint mixes a method with something else (most
"turbo" and "lightning" merges) a little guidance and a second-order solver serve better. The first row that fits wins.
"""

import re
from typing import Any

from studio.core.models import Defaults
from studio.manager.disk.checkpoints import FEW_STEP

STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?(?![a-z])", re.IGNORECASE)
PLAIN = {"guidance_scale": 1.0}  # no guidance: distilled into the weights
MERGE = {"sampler": "dpmpp_sde", "spacing": "karras", "steps": 6, "guidance_scale": 2.0}

# (families, expression that the file's name fits, what changes)
ROWS: tuple[tuple[frozenset[str], str, dict[str, Any]], ...] = (
    (frozenset({"flux"}), "", PLAIN | {"sampler": "flow_euler", "steps": 4}),
    (frozenset({"sd3"}), "", PLAIN | {"sampler": "flow_euler", "steps": 4}),
    (
        frozenset({"sd1", "sd2", "sdxl"}),
        r"^(sd|sdxl|sd[-_]xl|stable[-_]diffusion[-_]xl)[-_]?turbo",
        PLAIN | {"sampler": "euler_a", "spacing": "trailing", "steps": 4, "width": 512, "height": 512},
    ),
    (frozenset({"sdxl"}), r"^sdxl[-_]lightning", PLAIN | {"sampler": "euler", "spacing": "trailing", "steps": 4}),
    (frozenset({"sd1", "sdxl"}), r"hyper[-_]?sd", PLAIN | {"sampler": "ddim", "spacing": "trailing", "steps": 8}),
    (frozenset({"sd1", "sd2", "sdxl"}), r"dmd2?", PLAIN | {"sampler": "lcm", "spacing": "default", "steps": 4}),
    (frozenset({"sd1", "sd2", "sdxl"}), r"tcd", PLAIN | {"sampler": "tcd", "spacing": "default", "steps": 4}),
    (
        frozenset({"sd1", "sd2", "sdxl"}),
        r"lcm",
        {"sampler": "lcm", "spacing": "default", "steps": 6, "guidance_scale": 1.5},
    ),
    (frozenset({"sd1", "sd2", "sdxl"}), "", MERGE),
    # Z-Image-Turbo, Krea 2 Turbo, Qwen-Image-Lightning: each is at its best at about so many.
    (frozenset({"generic"}), r"turbo|lightning", PLAIN | {"steps": 8}),
)


def named_few_step(family: str, name: str) -> bool:
    """Whether a model of the family says in its name that it was distilled for few steps."""
    return bool(FEW_STEP.search(name)) and any(family in families for families, _, _ in ROWS)


def few_step_defaults(defaults: Defaults, family: str, name: str) -> Defaults:
    """`defaults` as a few-step model of the family and name wants them; steps that the name tells go before ours."""
    change = next(
        (row for families, pattern, row in ROWS if family in families and re.search(pattern, name, re.IGNORECASE)), {}
    )
    told = STEPS.search(name)
    steps = {"steps": int(told[1])} if told and 1 <= int(told[1]) <= 16 else {}
    return defaults.model_copy(update=change | steps)
