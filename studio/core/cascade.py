"""A cascade: models run one after another, each enlarging the picture of the one before it (Ho et al. 2021). Pure values.

Which models belong together is found by the catalog; how the upper ones are run is said by the part `core.parts.cascade`.
"""

import math

from pydantic import BaseModel, ConfigDict


class Enlarger(BaseModel):
    """A model that makes the picture `factor` times as wide and high, and what it is best used with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    title: str
    factor: int
    sampler: str
    steps: int
    guidance_scale: float
    noise_level: int
    most_noise: int  # the highest noise level that it knows


class Cascade(BaseModel):
    """What follows the first model, whose own size is `width` x `height`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int
    height: int
    enlargers: tuple[Enlarger, ...]

    def factor(self, depth: int) -> int:
        """How many times larger the picture is after `depth` enlargers."""
        return math.prod(enlarger.factor for enlarger in self.enlargers[:depth])

    def depth(self, width: int, height: int) -> int:
        """How many enlargers a size asks for: as many as bring the first model's part nearest to its own size."""
        wanted, own = math.sqrt(width * height), math.sqrt(self.width * self.height)
        return min(
            range(len(self.enlargers) + 1), key=lambda k: (round(abs(math.log(wanted / self.factor(k) / own)), 6), k)
        )

    def sizes(self) -> list[tuple[int, int]]:
        """(width, height) after each model, the first one's own first."""
        factors = [self.factor(k) for k in range(len(self.enlargers) + 1)]
        return [(self.width * factor, self.height * factor) for factor in factors]

    def parts(self, width: int, height: int) -> list[tuple[int, int]]:
        """(width, height) after each model that a picture of this size takes; its own size last."""
        depth = self.depth(width, height)
        whole = self.factor(depth)
        return [(width * self.factor(k) // whole, height * self.factor(k) // whole) for k in range(depth + 1)]
