"""Runs the annotators of `core.annotators`, in a process of their own (`child.py`). Independent of models, requests and jobs."""
