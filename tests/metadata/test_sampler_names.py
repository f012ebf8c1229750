"""Every sampler and schedule of other programs is one of ours, or is not known here."""

import pytest

from studio.core.samplers import SOLVERS, SPACINGS
from studio.metadata.sampler_names import sampler_of, spacing_of

# As the programs list them. None: an algorithm that ours does not have.
A1111 = {
    "DPM++ 2M": "dpmpp_2m", "DPM++ SDE": "dpmpp_sde", "DPM++ 2M SDE": "dpmpp_2m_sde", "DPM++ 2M SDE Heun": None,
    "DPM++ 2S a": "dpmpp_2s_a", "DPM++ 3M SDE": "dpmpp_3m_sde", "Euler a": "euler_a", "Euler": "euler", "LMS": "lms",
    "Heun": "heun", "DPM2": "dpm2", "DPM2 a": "dpm2_a", "DPM fast": "dpm_fast", "DPM adaptive": "dpm_adaptive",
    "Restart": None, "DDIM": "ddim", "DDIM CFG++": None, "PLMS": "pndm", "UniPC": "unipc", "LCM": "lcm",
}  # fmt: skip
COMFYUI = {
    "euler": "euler", "euler_cfg_pp": None, "euler_ancestral": "euler_a", "heun": "heun", "heunpp2": None, "dpm_2": "dpm2",
    "dpm_2_ancestral": "dpm2_a", "lms": "lms", "dpm_fast": "dpm_fast", "dpm_adaptive": "dpm_adaptive",
    "dpmpp_2s_ancestral": "dpmpp_2s_a", "dpmpp_sde": "dpmpp_sde", "dpmpp_sde_gpu": "dpmpp_sde", "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde", "dpmpp_2m_sde_gpu": "dpmpp_2m_sde", "dpmpp_2m_sde_heun": None,
    "dpmpp_3m_sde": "dpmpp_3m_sde", "dpmpp_3m_sde_gpu": "dpmpp_3m_sde", "ddpm": "ddpm", "lcm": "lcm", "ipndm": None,
    "deis": "deis", "res_multistep": None, "er_sde": None, "sa_solver": "sa_solver", "ddim": "ddim", "uni_pc": "unipc",
    "uni_pc_bh2": "unipc",
}  # fmt: skip
SD_NEXT = {
    "UniPC": "unipc", "DDIM": "ddim", "Euler": "euler", "Euler a": "euler_a", "Euler FlowMatch": "flow_euler",
    "DPM++ 2M": "dpmpp_2m", "DPM++ 2M SDE": "dpmpp_2m_sde", "DPM SDE": "dpmpp_sde", "UniPC FlowMatch": "flow_unipc",
    "Heun FlowMatch": "flow_heun", "DEIS": "deis", "SA Solver": "sa_solver", "TCD": "tcd", "PNDM": "pndm", "DDPM": "ddpm",
    "LMSD": "lms", "KDPM2": "dpm2", "KDPM2 a": "dpm2_a", "CMSI": "cm", "DC Solver": None,
}  # fmt: skip
INVOKEAI = {
    "ddim": "ddim", "ddpm": "ddpm", "deis": "deis", "lms": "lms", "pndm": "pndm", "heun": "heun", "euler": "euler",
    "euler_a": "euler_a", "kdpm_2": "dpm2", "kdpm_2_a": "dpm2_a", "dpmpp_2s": "dpmpp_2s", "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde", "dpmpp_sde": "dpmpp_sde", "unipc": "unipc", "lcm": "lcm", "tcd": "tcd",
    "k_euler_a": "euler_a", "k_dpm_2": "dpm2", "k_lms": "lms", "plms": "pndm", "k_dpmpp_2": "dpmpp_2m",
}  # fmt: skip
NOVELAI = {
    "k_euler": "euler", "k_euler_ancestral": "euler_a", "k_dpmpp_2s_ancestral": "dpmpp_2s_a", "k_dpmpp_2m": "dpmpp_2m",
    "k_dpmpp_2m_sde": "dpmpp_2m_sde", "k_dpmpp_sde": "dpmpp_sde", "ddim_v3": "ddim", "k_dpm_fast": "dpm_fast",
}  # fmt: skip
CIVITAI = {
    "EulerA": "euler_a",
    "DPM2M": "dpmpp_2m",
    "DPM2SA": "dpmpp_2s_a",
    "DPM2A": "dpm2_a",
    "Euler Ancestral": "euler_a",
}
WITH_SCHEDULE = {
    "DPM++ 2M Karras": ("dpmpp_2m", "karras"), "DPM2 a Karras": ("dpm2_a", "karras"), "LMS Karras": ("lms", "karras"),
    "DPM++ 2M SDE Exponential": ("dpmpp_2m_sde", "exponential"), "DPM++ 2M SGM Uniform": ("dpmpp_2m", "sgm_uniform"),
    "DPM2MKarras": ("dpmpp_2m", "karras"), "Euler A Trailing": ("euler_a", "trailing"), "UniPC AYS": ("unipc", "ays"),
    "Euler A Substep": (None, ""), "Default": ("default", ""), "": (None, ""), "Karras": (None, ""), "x" * 10_000: (None, ""),
}  # fmt: skip
SCHEDULES = {
    "Automatic": "default", "Uniform": "linspace", "Karras": "karras", "Exponential": "exponential", "Polyexponential": None,
    "SGM Uniform": "sgm_uniform", "KL Optimal": None, "Align Your Steps": "ays", "Simple": "trailing", "Normal": "linspace",
    "DDIM": "leading", "Beta": "beta", "Turbo": None, "normal": "linspace", "sgm_uniform": "sgm_uniform",
    "ddim_uniform": "leading", "linear_quadratic": None, "align_your_steps": "ays", "native": "linspace", "betas": "beta",
    "lambdas": "lu", "flowmatch": "default", "trailing": "trailing",
}  # fmt: skip


@pytest.mark.parametrize("names", [A1111, COMFYUI, SD_NEXT, INVOKEAI, NOVELAI, CIVITAI])
def test_samplers_of_every_program(names: dict[str, str | None]) -> None:
    known = set(SOLVERS.names())
    assert {theirs: sampler_of(theirs)[0] for theirs in names} == {
        theirs: ours if ours in known else None for theirs, ours in names.items()
    }


@pytest.mark.parametrize("name", WITH_SCHEDULE)
def test_a_schedule_may_be_part_of_the_name(name: str) -> None:
    assert sampler_of(name) == WITH_SCHEDULE[name]


def test_schedules_of_every_program() -> None:
    assert {theirs: spacing_of(theirs) for theirs in SCHEDULES} == SCHEDULES
    assert {ours for ours in SCHEDULES.values() if ours} <= set(SPACINGS.names())
