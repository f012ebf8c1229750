"""Recording attention: the trace's recorder does it (`engine/trace_recorder.py`), so the call is the same."""

from studio.engine.effects import PART_EFFECTS, Effect

PART_EFFECTS.add("attention", Effect())
