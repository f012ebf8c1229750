"""The third-order stochastic DPM-Solver++, corrected."""

from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler as Upstream


class DPMSolverMultistepScheduler(Upstream):
    """In diffusers 0.42.1 the third-order term of "sde-dpmsolver++" has the wrong sign at its constant: -0.5 for +0.5.

    The deterministic term is -((exp(-h) - 1 + h) / h^2 - 0.5) D2; with 2h for h it becomes
    (1 - exp(-2h) - 2h) / (2h)^2 + 0.5, as k-diffusion's `sample_dpmpp_3m_sde` has it too. It came in with
    huggingface/diffusers#9104, which took no comparison with another implementation; no report of it was found.
    """

    def multistep_dpm_solver_third_order_update(
        self, model_output_list: list[torch.Tensor], *args: Any, sample: Any = None, noise: Any = None, **kwargs: Any
    ) -> torch.Tensor:
        made = super().multistep_dpm_solver_third_order_update(
            model_output_list, *args, sample=sample, noise=noise, **kwargs
        )
        if self.config.algorithm_type != "sde-dpmsolver++":
            return made
        m0, m1, m2 = model_output_list[-1], model_output_list[-2], model_output_list[-3]
        places = [self._sigma_to_alpha_sigma_t(self.sigmas[self.step_index + k]) for k in (1, 0, -1, -2)]
        after, now, before, first = (torch.log(alpha) - torch.log(sigma) for alpha, sigma in places)
        h = after - now
        second = h / (now - first) * (h / (now - before) * (m0 - m1) - h / (before - first) * (m1 - m2))
        return made + places[0][0] * second
