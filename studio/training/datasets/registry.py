"""The registry of data sets; a module of its own, so that data sets can import it."""

from typing import Any

from studio.core.registry import Registry

datasets: Registry[Any] = Registry("data set")
