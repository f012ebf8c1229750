"""The table of data sets. It stands apart from the package's door so that a data set can import it."""

from typing import Any

from studio.core.registry import Registry

datasets: Registry[Any] = Registry("data set")
