"""A studio over a fake engine in a real worker process, and a catalog of one model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.core.models import Defaults, ModelInfo
from studio.core.settings import Settings
from studio.jobs.host import Patience
from studio.studio import Studio

MODEL = ModelInfo(
    id="starter/fake",
    title="Fake",
    kind="diffusers",
    family="sd1",
    defaults=Defaults(width=16, height=16, steps=4),
    shipped=True,
)
OTHER = MODEL.model_copy(update={"id": "other/large", "title": "Other", "shipped": False})


class FixedCatalog:
    """Stands for the models folders."""

    def models(self) -> list[ModelInfo]:
        return [MODEL, OTHER]

    def path(self, model_id: str) -> Path:
        return Path(model_id)


@pytest.fixture
def make_studio(tmp_path: Path) -> Iterator[Callable[..., Studio]]:
    """Open a studio on the test's outputs folder; every one is closed at the end."""
    opened: list[Studio] = []

    def make(entry: str = "tests.jobs.fake_worker:main", **options: Any) -> Studio:
        options.setdefault("settings", Settings(outputs=tmp_path / "outputs", presets=tmp_path / "presets"))
        options.setdefault("patience", Patience(restart=0.01, claim=0.02))
        studio = Studio(options.pop("settings"), catalog=FixedCatalog(), entry=entry, **options)  # type: ignore[arg-type]
        opened.append(studio)
        return studio

    yield make
    for studio in opened:
        studio.close()


@pytest.fixture
def studio(make_studio: Callable[..., Studio]) -> Studio:
    return make_studio()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """While this file is there, a job's first step does not end."""
    file = tmp_path / "outputs" / "hold"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    yield file
    file.unlink(missing_ok=True)
