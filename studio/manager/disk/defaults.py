"""What a model is best used with, and which samplers it may use: by its name where it was distilled for few steps, and by
its folder's own scheduler. No torch.

Most schedulers are in the sampler table, and one of them can replace another. One that is not, such as those for
EDM, for tokens, or for a prior of its own kind, is kept, and is all that the model can use.
"""

import re
from collections.abc import Mapping
from typing import Any

from studio.core.models import Defaults
from studio.core.samplers import SOLVERS, sampler_of, stands_for
from studio.core.solvers import OWN
from studio.manager.disk.sniff import FEW_STEP
from studio.manager.families import Family

FLOW = "flow_prediction"
LEARNED = ("learned", "learned_range")  # variances that the denoiser predicts, which other schedulers cannot read
# What models with such a scheduler are best used with, where their family's rows say nothing of it.
UNKNOWN_METHOD = {"spacing": "default", "steps": 4, "guidance_scale": 1.0}
AS_PUBLISHED = {"EDMDPMSolverMultistepScheduler": {"guidance_scale": 3.0}}  # Playground v2.5
DISTILLED = {"LCMScheduler": "lcm", "TCDScheduler": "tcd"}  # the name of the method that a scheduler is for
STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?(?![a-z])", re.IGNORECASE)
MOST_STEPS = 16
PLAIN = {"guidance_scale": 1.0}  # no guidance: distilled into the weights
UNETS = ("sd1", "sd2", "sdxl")
# (families, pattern of the model's name, what changes): each method's publishers' own advice, the first that fits. Where a
# checkpoint mixes a method with something else (most "turbo" and "lightning" merges) a little guidance and a second-order
# solver serve better.
FEW_STEP_ROWS: tuple[tuple[tuple[str, ...], str, dict[str, Any]], ...] = (
    (("flux", "sd3"), r"", PLAIN | {"sampler": "flow_euler", "steps": 4}),
    (UNETS, r"^(sd|sdxl|sd[-_]xl|stable[-_]diffusion[-_]xl)[-_]?turbo", PLAIN | {"sampler": "euler_a", "spacing": "trailing", "steps": 4, "width": 512, "height": 512}),
    (("sdxl",), r"^sdxl[-_]lightning", PLAIN | {"sampler": "euler", "spacing": "trailing", "steps": 4}),
    (("sd1", "sdxl"), r"hyper[-_]?sd", PLAIN | {"sampler": "ddim", "spacing": "trailing", "steps": 8}),
    (UNETS, r"dmd2?", PLAIN | {"sampler": "lcm", "spacing": "default", "steps": 4}),
    (UNETS, r"tcd", PLAIN | {"sampler": "tcd", "spacing": "default", "steps": 4}),
    (UNETS, r"lcm", {"sampler": "lcm", "spacing": "default", "steps": 6, "guidance_scale": 1.5}),
    (UNETS, r"", {"sampler": "dpmpp_sde", "spacing": "karras", "steps": 6, "guidance_scale": 2.0}),
    (("generic",), r"turbo|lightning", PLAIN | {"steps": 8}),  # Z-Image-Turbo, Krea 2 Turbo, Qwen-Image-Lightning
)  # fmt: skip


def named_few_step(family: str, name: str) -> bool:
    """Whether a model of the family says in its name that it was distilled for few steps."""
    return bool(FEW_STEP.search(name)) and any(family in families for families, _, _ in FEW_STEP_ROWS)


def few_step_defaults(defaults: Defaults, family: str, name: str) -> Defaults:
    """`defaults` with what suits a few-step model of the family and name; steps that the name states go before ours."""
    rows = (row for families, pattern, row in FEW_STEP_ROWS if family in families and re.search(pattern, name, re.I))
    stated = STEPS.search(name)
    steps = {"steps": int(stated[1])} if stated and 1 <= int(stated[1]) <= MOST_STEPS else {}
    return defaults.model_copy(update=next(rows, {}) | steps)


def solvers_of(family: Family, scheduler: str, config: Mapping[str, Any], prediction: str) -> tuple[str, ...] | None:
    """The samplers that a model with this scheduler may use, for ModelInfo; None: any that fits its prediction."""
    if not stands_for(scheduler):
        return (OWN,)
    generic, own = family.name == "generic", sampler_of(scheduler, config, prediction, family.name)
    if generic and config.get("variance_type") in LEARNED:
        return tuple(name for name, solver in SOLVERS.items() if solver.scheduler == scheduler)
    if generic and prediction == FLOW:
        return (own, *_other_flows(family, own, config))
    if not generic or (own != OWN and (family.solvers is None or own in family.solvers)):
        return family.solvers
    fitting = (
        name
        for name, solver in SOLVERS.items()
        if not solver.distilled and (solver.families is None or family.name in solver.families)
    )
    return (*(family.solvers or fitting), own)


def _other_flows(family: Family, own: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Flow pipelines lay out their noise levels for the scheduler they know; few others take them as they come."""
    bent = any(config.get(flag) for flag in ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"))
    if bent or own != "flow_euler":
        return ()
    return tuple(name for name in family.solvers or () if name == "flow_unipc")


def defaults_of(family: Family, scheduler: str, config: Mapping[str, Any], prediction: str) -> Defaults:
    """The family's defaults with the model's own sampler, where the family's does not fit it or it has none."""
    own = sampler_of(scheduler, config, prediction, family.name)
    if scheduler in DISTILLED:
        method = few_step_defaults(family.defaults, family.name, DISTILLED[scheduler])
        return method if method.sampler == own else method.model_copy(update={"sampler": own} | UNKNOWN_METHOD)
    defaults = family.defaults.model_copy(update=AS_PUBLISHED.get(scheduler, {}))
    solver, allowed = SOLVERS.get(defaults.sampler), solvers_of(family, scheduler, config, prediction)
    fits = prediction in solver.predictions and (allowed is None or defaults.sampler in allowed)
    if fits and family.name != "generic":
        return defaults
    most = config.get("num_train_timesteps") if own == OWN else None
    steps = {"steps": most} if isinstance(most, int) and 0 < most < defaults.steps else {}
    return defaults.model_copy(update={"sampler": own, "spacing": "default"} | steps)
