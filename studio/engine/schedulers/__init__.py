"""Schedulers of ours: small subclasses of diffusers' that mend one thing each, and solvers that diffusers lacks."""
