"""A LoRA: attached to the modules while they are leased, so the call is the same."""

from studio.engine.effects import PART_EFFECTS, Effect

PART_EFFECTS.add("lora", Effect())
