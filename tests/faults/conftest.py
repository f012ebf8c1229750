"""The same studio as in tests/jobs."""

from tests.jobs.conftest import hold, make_studio, studio

__all__ = ["hold", "make_studio", "studio"]
