"""Schedulers of ours: small subclasses of diffusers' that correct one thing each, and solvers that diffusers lacks."""
