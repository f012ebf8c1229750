"""The rows of the sampler table: solvers as plain data, in the order in which the form offers them.

A row names a scheduler class, diffusers' or one of `studio.engine.schedulers`, and the config it overrides;
`studio.engine.samplers` builds it from the model's own config. Names are spelled as k-diffusion and diffusers spell them.
What a row claims is measured in `tests/engine/test_samplers.py` and `test_sampler_oracle.py` against denoisers whose exact
answers are known; that a pair runs is not enough. The columns are in `spacings.py`, the rules of both in `samplers.py`.
"""

from dataclasses import dataclass, field
from typing import Any

DIFFUSION = frozenset({"epsilon", "v_prediction", "sample"})
NOISE = frozenset({"epsilon", "v_prediction"})  # not the clean picture: the class has no formula for it
FLOW = frozenset({"flow_prediction"})
CONSISTENCY = frozenset({"consistency"})
OWN = "own"  # a model's scheduler that no row stands for; legal where a model says so and nowhere else

_SIGMAS = ("karras", "exponential", "beta")
_TIMESTEPS = ("linspace", "trailing", "leading")
_ALL = ("default", *_SIGMAS, *_TIMESTEPS, "sgm_uniform", "ays")


@dataclass(frozen=True)
class Solver:
    """One row: how to step. `evaluations` is the denoiser's calls per step; `predictions` what it can be fed."""

    name: str
    title: str
    scheduler: str  # diffusers class name; empty: the model's own
    overrides: dict[str, Any] = field(default_factory=dict)
    predictions: frozenset[str] = DIFFUSION
    spacings: tuple[str, ...] = ("default",)
    evaluations: int = 1
    stochastic: bool = False
    distilled: bool = False  # legal only for few-step (consistency-distilled) models
    zero_snr: bool = False  # can start from zero signal, where the training schedule goes down to it
    runge_kutta: bool = False  # begins with Runge-Kutta steps where the model's configuration does not say otherwise
    brownian: bool = False  # draws its noise from a tree that grows as it goes
    scales_input: bool = False  # keeps its state at the noise's scale, and has the denoiser shown it scaled down
    adaptive: bool = False  # decides itself how many steps it makes, for one picture at a time
    families: frozenset[str] | None = None  # None: any whose prediction fits
    # Named spacing -> fewest steps that leave no noise; fewer run too. For "default" it depends on the spacing that the
    # model's configuration names, as diffusers lays that out: `own_good_from`, with "" for any.
    good_from: dict[str, int] = field(default_factory=dict)
    own_good_from: dict[str, int] = field(default_factory=dict)
    max_steps: int = 1000
    help: str = ""


SOLVER_ROWS = (
    Solver(
        "dpmpp_2m",
        "DPM++ 2M",
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "solver_order": 2},
        zero_snr=True,
        spacings=(*_ALL, "lu"),
        good_from={"leading": 2},
        help="Second-order multistep solver (Lu et al. 2022). Good pictures in 15 to 25 steps; a safe first choice. On a named "
        "spacing the model is shown each level's exact timestep; diffusers rounds it, which moves the result by up to 3e-3.",
    ),
    Solver(
        "dpmpp_2m_sde",
        "DPM++ 2M SDE",
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "sde-dpmsolver++", "solver_order": 2},
        zero_snr=True,
        spacings=(*_ALL, "lu"),
        stochastic=True,
        good_from={"linspace": 21, "leading": 13},
        help="DPM++ 2M with fresh noise at every step; more detail, and never quite settled.",
    ),
    Solver(
        "dpmpp_3m_sde",
        "DPM++ 3M SDE",
        "DPMSolverMultistepScheduler",
        {
            "algorithm_type": "sde-dpmsolver++",
            "solver_order": 3,
            "solver_type": "heun",  # the form of its second-order start
            "lower_order_final": False,  # its last step goes to zero, which is of first order anyway
        },
        zero_snr=True,
        spacings=(*_ALL, "lu"),
        stochastic=True,
        own_good_from={"karras": 10},
        good_from={"karras": 10, "linspace": 102, "leading": 62},
        help="The third-order stochastic form; likes 25 steps and more. One term of diffusers' formula has the wrong sign; it "
        "is corrected here, and agrees with k-diffusion's.",
    ),
    Solver(
        "dpmpp_sde",
        "DPM++ SDE",
        "DPMSolverSDEScheduler",
        brownian=True,
        scales_input=True,
        predictions=NOISE,
        spacings=_ALL,
        evaluations=2,
        stochastic=True,
        own_good_from={"karras": 2, "exponential": 2, "beta": 2, "linspace": 2, "leading": 2},
        good_from={"leading": 2},
        help="Two model calls a step, noise from a Brownian tree; strong at few steps.",
    ),
    Solver(
        "dpmpp_2s",
        "DPM++ 2S",
        "DPMSolverSinglestepScheduler",
        # `lower_order_final` is the configuration's; where the last step goes to zero the class sets it itself, as its
        # formula of second order has no value there.
        {"algorithm_type": "dpmsolver++", "solver_order": 2},
        spacings=_ALL,
        good_from={"leading": 2},
        help="The deterministic single-step second-order solver; every second step refines the one before. What other "
        "programs call DPM++ 2S a is the next one.",
    ),
    Solver(
        "dpmpp_2s_a",
        "DPM++ 2S a",
        "DPMSolver2SAncestralScheduler",
        predictions=NOISE,
        scales_input=True,
        zero_snr=True,
        spacings=_ALL,
        evaluations=2,
        stochastic=True,
        own_good_from={"linspace": 2, "leading": 2},
        good_from={"leading": 2},
        help="DPM++ 2S with fresh noise at every step, as k-diffusion has it; diffusers has none. Two model calls a step.",
    ),
    Solver(
        "dpm_fast",
        "DPM fast",
        "DPMSolverFastScheduler",
        predictions=NOISE,
        scales_input=True,
        own_good_from={"": 6},
        help="DPM-Solver-fast (Lu et al. 2022), as k-diffusion has it; diffusers has none. Third order, on noise levels of its "
        "own, in equal ratios. A step is one model call.",
    ),
    Solver(
        "dpm_adaptive",
        "DPM adaptive",
        "DPMSolverAdaptiveScheduler",
        predictions=NOISE,
        scales_input=True,
        evaluations=3,
        adaptive=True,
        help="DPM-Solver-23 (Lu et al. 2022), as k-diffusion has it; diffusers has none. It makes as many steps as the picture "
        "needs, whatever number is requested, of three model calls each. Pictures are made one at a time.",
    ),
    Solver(
        "unipc",
        "UniPC",
        "UniPCMultistepScheduler",
        zero_snr=True,
        spacings=_ALL,
        good_from={"leading": 2},
        help="Predictor and corrector in one (Zhao et al. 2023); good at 5 to 15 steps.",
    ),
    Solver(
        "deis",
        "DEIS",
        "DEISMultistepScheduler",
        spacings=_ALL,
        own_good_from={"karras": 2, "exponential": 2, "beta": 2},
        good_from={"leading": 2},
        help="Exponential integrator (Zhang and Chen 2022), a multistep solver for few steps. diffusers' leaves the lowest "
        "noise level in the picture; on a named spacing the last step removes it.",
    ),
    Solver(
        "euler",
        "Euler",
        "EulerDiscreteScheduler",
        scales_input=True,
        zero_snr=True,
        spacings=_ALL,
        own_good_from={"karras": 2, "exponential": 2, "beta": 2, "linspace": 2, "leading": 2},
        good_from={"leading": 2},
        help="The plainest solver: follow the slope, one model call a step.",
    ),
    Solver(
        "euler_a",
        "Euler a",
        "EulerAncestralDiscreteScheduler",
        scales_input=True,
        zero_snr=True,
        predictions=NOISE,
        spacings=_ALL,
        stochastic=True,
        own_good_from={"linspace": 2, "leading": 2},
        good_from={"leading": 2},
        help="Euler with fresh noise at every step; the picture keeps changing with more steps.",
    ),
    Solver(
        "heun",
        "Heun",
        "HeunDiscreteScheduler",
        scales_input=True,
        spacings=_ALL,
        evaluations=2,
        own_good_from={"karras": 6, "exponential": 6, "beta": 10, "linspace": 5, "leading": 4},
        good_from={"karras": 6, "exponential": 6, "linspace": 5, "leading": 4},
        help="Second order: looks ahead and averages the two slopes. Two model calls a step.",
    ),
    Solver(
        "dpm2",
        "DPM2",
        "KDPM2DiscreteScheduler",
        scales_input=True,
        predictions=NOISE,
        spacings=_ALL,
        evaluations=2,
        own_good_from={"karras": 4, "exponential": 4, "beta": 12, "linspace": 7, "leading": 5},
        good_from={"karras": 4, "exponential": 4, "linspace": 7, "leading": 5},
        help="Second order by the midpoint (Karras et al. 2022, algorithm 2 without churn). Two model calls a step.",
    ),
    Solver(
        "dpm2_a",
        "DPM2 a",
        "KDPM2AncestralDiscreteScheduler",
        scales_input=True,
        predictions=NOISE,
        spacings=_ALL,
        evaluations=2,
        stochastic=True,
        own_good_from={"karras": 8, "exponential": 7, "beta": 19, "linspace": 9, "leading": 8},
        good_from={"karras": 8, "exponential": 7, "linspace": 9, "leading": 8},
        help="DPM2 with fresh noise at every step.",
    ),
    Solver(
        "lms",
        "LMS",
        "LMSDiscreteScheduler",
        scales_input=True,
        spacings=_ALL,
        own_good_from={"karras": 2, "exponential": 2, "beta": 2, "linspace": 2, "leading": 2},
        good_from={"leading": 2},
        help="Linear multistep: fits a polynomial through the last four slopes.",
    ),
    Solver(
        "ddim",
        "DDIM",
        "DDIMScheduler",
        zero_snr=True,
        spacings=("default", *_TIMESTEPS),
        own_good_from={"linspace": 3, "leading": 2},
        good_from={"leading": 2},
        help="Deterministic walk along the training schedule (Song et al. 2020). diffusers makes all steps equally long, "
        "whatever the spacing; on a named spacing they go from one of its timesteps to the next.",
    ),
    Solver(
        "ddpm",
        "DDPM",
        "DDPMScheduler",
        zero_snr=True,
        spacings=("default", *_TIMESTEPS, "sgm_uniform", "ays"),
        stochastic=True,
        own_good_from={"linspace": 2, "leading": 2},
        good_from={"leading": 2},
        help="The ancestral sampler of Ho et al. 2020; wants many steps.",
    ),
    Solver(
        "pndm",
        "PNDM",
        "PNDMScheduler",
        runge_kutta=True,
        predictions=NOISE,
        spacings=("default", *_TIMESTEPS),
        help="Pseudo linear multistep (Liu et al. 2022), the first default of Stable Diffusion. On a named spacing its steps "
        "go from one timestep to the next, as with DDIM.",
    ),
    Solver(
        "sa_solver",
        "SA-Solver",
        "SASolverScheduler",
        {"algorithm_type": "data_prediction"},  # another class's own word for it would be refused
        spacings=_ALL,
        stochastic=True,
        own_good_from={"karras": 9, "exponential": 6},
        good_from={"karras": 10, "exponential": 8, "linspace": 24, "leading": 17},
        help="Stochastic Adams solver (Xue et al. 2023), predictor and corrector. On a named spacing the last step removes "
        "all noise, as with DEIS.",
    ),
    Solver(
        "lcm",
        "LCM",
        "LCMScheduler",
        zero_snr=True,
        stochastic=True,
        distilled=True,
        max_steps=50,
        help="For consistency-distilled models: jumps to the clean image and back, 1 to 8 steps.",
    ),
    Solver(
        "tcd",
        "TCD",
        "TCDScheduler",
        zero_snr=True,
        stochastic=True,
        distilled=True,
        max_steps=50,
        help="Trajectory consistency distillation (Zheng et al. 2024), for models distilled for it, 1 to 8 steps.",
    ),
    Solver(
        "cm",
        "Consistency",
        "CMStochasticIterativeScheduler",
        predictions=CONSISTENCY,
        stochastic=True,
        max_steps=40,
        help="Multistep consistency sampling (Song et al. 2023, algorithm 1): one jump, or a few with fresh noise between.",
    ),
    Solver(
        "flow_euler",
        "Flow Euler",
        "FlowMatchEulerDiscreteScheduler",
        predictions=FLOW,
        spacings=("default", *_SIGMAS),
        help="Euler along the straight paths of a flow-matching model.",
    ),
    Solver(
        "flow_unipc",
        "Flow UniPC",
        "UniPCMultistepScheduler",
        {"prediction_type": "flow_prediction", "use_flow_sigmas": True},
        predictions=FLOW,
        help="UniPC on a flow-matching model. The model is shown each level's exact timestep, which diffusers rounds down.",
    ),
    Solver(
        "flow_heun",
        "Flow Heun",
        "FlowMatchHeunDiscreteScheduler",
        predictions=FLOW,
        families=frozenset({"sd3"}),
        evaluations=2,
        help="Heun on a flow-matching model. Two model calls a step.",
    ),
    Solver(
        "flow_dpmpp_2m",
        "Flow DPM++ 2M",
        "DPMSolverMultistepScheduler",
        {
            "prediction_type": "flow_prediction",
            "use_flow_sigmas": True,
            "algorithm_type": "dpmsolver++",
            "solver_order": 2,
        },
        predictions=FLOW,
        families=frozenset({"sd3"}),
        help="DPM++ 2M on a flow-matching model. The model is shown each level's exact timestep, which diffusers rounds down.",
    ),
    Solver(
        OWN,
        "Its own",
        "",
        predictions=DIFFUSION | FLOW | CONSISTENCY,
        families=frozenset(),
        zero_snr=True,
        help="The scheduler that the model was published with, as it is configured.",
    ),
)
