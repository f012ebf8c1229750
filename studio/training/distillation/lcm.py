"""Latent consistency models (Luo et al. 2023, algorithm 1): consistency distillation of the guided ODE, for every guidance scale.

The student reads the scale (a U-Net by `time_cond_proj_dim`), so that one evaluation a step does what the teacher needs two for.
"""

from studio.training.distillation.consistency import Consistency
from studio.training.distillation.method import methods


class LatentConsistency(Consistency):
    embeds_guidance = True


methods.add("lcm", LatentConsistency())
