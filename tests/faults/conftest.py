"""The same desk as in tests/jobs."""

from tests.jobs.conftest import desk, hold, make_desk

__all__ = ["desk", "hold", "make_desk"]
