"""A cascade's upper stages: they are stages of their own, so the call of each is the same."""

from studio.engine.effects import PART_EFFECTS, Effect

PART_EFFECTS.add("cascade", Effect())
