"""Inpainting around the pipeline: its two masks, what the model sees and starts from, and how its picture is put back."""
