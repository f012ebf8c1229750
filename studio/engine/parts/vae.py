"""Another VAE: its module takes the own one's place when the model is leased, so the call is the same."""

from studio.engine.effects import PART_EFFECTS, Effect

PART_EFFECTS.add("vae", Effect())
