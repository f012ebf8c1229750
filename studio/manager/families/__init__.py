"""One file per family. Importing this package fills the registry; nothing here loads torch."""

from studio.manager.families import ddpm, dit, pixart, sd1
from studio.manager.families.base import FAMILIES, Family, LatentFormat, accepted, family_of

__all__ = ["FAMILIES", "Family", "LatentFormat", "accepted", "ddpm", "dit", "family_of", "pixart", "sd1"]
