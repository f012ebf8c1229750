"""What a folder's own scheduler says of the samplers that its model may use, and of the one that it is best used with.

Most schedulers stand in the sampler table, and there one can take another's place. One that does not, such as those for
EDM, for tokens, or for a prior of its own kind, is kept, and is all that the model can use. No torch.
"""

from collections.abc import Mapping
from typing import Any

from studio.core.models import Defaults
from studio.core.samplers import OWN, SOLVERS, sampler_of, stands_for
from studio.manager.disk.few_step import few_step_defaults
from studio.manager.families import Family

FLOW = "flow_prediction"
LEARNED = ("learned", "learned_range")  # variances that the denoiser predicts, which other schedulers cannot read
# What models with such a scheduler are best used with, where their family's rows say nothing of it.
UNKNOWN_METHOD = {"spacing": "default", "steps": 4, "guidance_scale": 1.0}
AS_PUBLISHED = {"EDMDPMSolverMultistepScheduler": {"guidance_scale": 3.0}}  # Playground v2.5
DISTILLED = {"LCMScheduler": "lcm", "TCDScheduler": "tcd"}  # what a model is called that was distilled for it


def solvers_of(
    family: Family, scheduler_class: str, config: Mapping[str, Any], prediction: str
) -> tuple[str, ...] | None:
    """The samplers that a model may use, for ModelInfo; None: any that fits its prediction."""
    if not stands_for(scheduler_class):
        return (OWN,)
    if family.name == "generic" and config.get("variance_type") in LEARNED:
        return tuple(name for name, solver in SOLVERS.items() if solver.scheduler == scheduler_class)
    own = sampler_of(scheduler_class, config, prediction, family.name)
    if prediction == FLOW and family.name == "generic":
        return (own, *_other_flows(family, own, config))
    if family.name != "generic" or (own != OWN and (family.solvers is None or own in family.solvers)):
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


def defaults_of(
    family: Family, defaults: Defaults, scheduler_class: str, config: Mapping[str, Any], prediction: str
) -> Defaults:
    """`defaults` with the model's own sampler, where the family's is not for it or it has none."""
    own = sampler_of(scheduler_class, config, prediction, family.name)
    if scheduler_class in DISTILLED:
        told = few_step_defaults(defaults, family.name, DISTILLED[scheduler_class])
        return told if told.sampler == own else told.model_copy(update={"sampler": own} | UNKNOWN_METHOD)
    defaults = defaults.model_copy(update=AS_PUBLISHED.get(scheduler_class, {}))
    solver, allowed = SOLVERS.get(defaults.sampler), solvers_of(family, scheduler_class, config, prediction)
    fits = prediction in solver.predictions and (allowed is None or defaults.sampler in allowed)
    if fits and family.name != "generic":
        return defaults
    most = config.get("num_train_timesteps") if own == OWN else None
    steps = {"steps": most} if isinstance(most, int) and 0 < most < defaults.steps else {}
    return defaults.model_copy(update={"sampler": own, "spacing": "default"} | steps)
