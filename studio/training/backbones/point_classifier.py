"""A classifier of noisy points in the plane, p(class | x_t, t), whose gradient guides a model of them (Dhariwal & Nichol 2021)."""

from diffusers.configuration_utils import register_to_config
from torch import nn

from studio.training.backbones.mlp import PointMLP


class PointClassifier(PointMLP):
    """Points [n, 2] and times [n] in 0..1000 -> logits [n, classes]."""

    @register_to_config
    def __init__(self, hidden: int = 64, layers: int = 2, classes: int = 2):
        super().__init__(hidden, layers, 0)
        self.out = nn.Linear(hidden, classes)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
