"""What the tests on a CUDA device share. UNNOISE_REHEARSE=1 runs them on the processor, as far as one can."""

import os
from pathlib import Path

import pytest

from studio import compat

compat.prepare()

import torch  # noqa: E402

from tests.training.conftest import diffusion, parts  # noqa: E402, F401  (fixtures)

REHEARSAL = os.environ.get("UNNOISE_REHEARSE") == "1"


@pytest.fixture(scope="session")
def device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if REHEARSAL:
        return "cpu"
    return pytest.skip("NOT RUN: there is no CUDA device here")


@pytest.fixture(scope="session")
def card(device: str) -> str:
    """For what only a real card can show."""
    return device if device == "cuda" else pytest.skip("NOT RUN: it needs a real CUDA device")


@pytest.fixture(scope="session")
def starters(root: Path) -> Path:
    """The folder of the starter models that are here."""
    folder = root / "models" / "starter"
    if not any(folder.glob("*/model_index.json")):
        pytest.skip("NOT RUN: no starter model is here")
    return folder
