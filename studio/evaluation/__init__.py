"""Metrics of a model's pictures: do they show what the prompt says, and how accurate is the detector that judges them."""
