"""The columns of the sampler table: how noise levels are spread over the steps, as plain data."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Spacing:
    """One column: how noise levels are spread over the steps."""

    name: str
    title: str
    overrides: dict[str, Any] = field(default_factory=dict)
    families: frozenset[str] | None = None  # None: any
    help: str = ""


# A named spacing is the same noise levels with every solver, whatever spacing the model's configuration carries; the
# configuration's own is "default". `overrides` say where such a run begins: pure noise, or a state with some signal.
SPACING_ROWS = (
    Spacing(
        "default",
        "Default",
        help="The spacing that the model's own configuration names, exactly as diffusers lays it out for the sampler.",
    ),
    Spacing(
        "karras",
        "Karras",
        {"timestep_spacing": "linspace"},
        help="Smaller steps towards the end (Karras et al. 2022, equation 5), from the model's highest noise level to its "
        "lowest, as k-diffusion has them. diffusers takes the range from the model's timestep spacing, which may stop "
        "short of the end or begin below the start.",
    ),
    Spacing(
        "exponential",
        "Exponential",
        {"timestep_spacing": "linspace"},
        help="Noise levels in equal ratios, from the model's highest to its lowest, as k-diffusion has them.",
    ),
    Spacing(
        "beta",
        "Beta",
        {"timestep_spacing": "linspace"},
        help="Timesteps dense at both ends (Lee et al. 2024, Beta Sampling), as ComfyUI and Forge have them. diffusers and "
        "AUTOMATIC1111 spread the noise levels themselves so, which leaves noise in the picture at few steps.",
    ),
    Spacing(
        "lu",
        "Lu",
        {"timestep_spacing": "linspace"},
        help="Even in log signal-to-noise ratio (Lu et al. 2022): the same levels as Exponential.",
    ),
    Spacing(
        "linspace",
        "Linspace",
        {"timestep_spacing": "linspace"},
        help="Timesteps evenly from the last to the first, both included, as k-diffusion has them. diffusers' multistep solvers "
        "leave out the first, and round.",
    ),
    Spacing(
        "trailing",
        "Trailing",
        {"timestep_spacing": "trailing"},
        help="Timesteps evenly, starting from pure noise; right for few steps and zero terminal SNR (Lin et al. 2023). For some "
        "numbers of steps, 61 for one, diffusers makes one too many.",
    ),
    Spacing(
        "leading",
        "Leading",
        {"timestep_spacing": "leading"},
        help="Timesteps evenly, starting a little below pure noise, as Stable Diffusion first did. diffusers' multistep solvers "
        "start lower still and leave out the last.",
    ),
    Spacing(
        "sgm_uniform",
        "SGM uniform",
        {"timestep_spacing": "linspace"},
        help="Timesteps evenly from the last, stopping one before the first, as Stability's generative-models does. diffusers "
        "has it as Linspace, in its multistep solvers alone.",
    ),
    Spacing(
        "ays",
        "Align your steps",
        {"timestep_spacing": "linspace"},
        families=frozenset({"sd1", "sdxl"}),
        help="Ten noise levels optimised for the family (Sabour et al. 2024), interpolated to the steps asked for.",
    ),
)
