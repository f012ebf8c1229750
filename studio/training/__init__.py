"""Training: data sets, noise schedules, objectives, backbones, the trainer, export."""
