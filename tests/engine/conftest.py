"""Tiny models in memory, once for all tests of the engine."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from studio import compat

compat.prepare()

import torch  # noqa: E402

from studio.core.models import ModelInfo  # noqa: E402
from studio.core.options import find_model, resolve  # noqa: E402
from studio.core.request import GenerationRequest  # noqa: E402
from studio.core.settings import Settings  # noqa: E402
from studio.manager.manager import Loaded, Manager  # noqa: E402
from tests.models import tiny_models  # noqa: E402

KINDS = ("sd1", "pixart", "ddpm", "dit")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def manager(tmp_path_factory: pytest.TempPathFactory) -> Manager:
    folder = tmp_path_factory.mktemp("engine")
    for kind in KINDS:
        tiny_models.BUILDERS[kind](folder / "models" / kind)
    tiny_models.stable_diffusion(folder / "models" / "sd1-v", prediction="v_prediction")
    return Manager(Settings(models=(folder / "models",), outputs=folder / "outputs", device="cpu"))


class Studio:
    """What a test asks: make pictures of a tiny model with these settings."""

    def __init__(self, manager: Manager):
        self.manager = manager
        self.models = manager.catalog.models()

    def info(self, name: str) -> ModelInfo:
        return find_model(self.models, name)

    @contextmanager
    def loaded(self, name: str, dtype: str = "fp32") -> Iterator[Loaded]:
        with self.manager.lease(self.info(name), dtype, lambda what, fraction: None) as loaded:
            yield loaded

    def request(self, name: str, **values: Any) -> GenerationRequest:
        prompts = {"dit": "3", "ddpm": ""}
        given = {"model": name, "prompt": prompts.get(name, "a red heart"), "steps": 6, "seed": 7} | values
        return resolve(GenerationRequest(**given), self.info(name))

    def run(
        self, name: str, dtype: str = "fp32", callbacks: dict[str, Callable[..., Any]] | None = None, **values: Any
    ):
        from studio.engine.generate import generate

        request = self.request(name, **values)
        with self.loaded(name, dtype) as loaded:
            return list(generate(request, loaded, **(callbacks or {})))

    def folder(self, name: str) -> Path:
        path = self.manager.catalog.path(name)
        assert path is not None
        return path


@pytest.fixture(scope="session")
def studio(manager: Manager) -> Studio:
    return Studio(manager)
