"""A desk over a fake engine in a real worker process, and a catalog of one model."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from studio.core.models import Defaults, ModelInfo
from studio.core.settings import Settings
from studio.desk import Desk
from studio.jobs.host import Patience

MODEL = ModelInfo(
    id="starter/fake",
    title="Fake",
    kind="diffusers",
    family="sd1",
    tasks=("text_to_image",),
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
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Open a desk on the test's outputs folder; every one is closed at the end."""
    opened: list[Desk] = []

    def make(entry: str = "tests.jobs.fake_worker:main", **options: Any) -> Desk:
        options.setdefault("settings", Settings(outputs=tmp_path / "outputs", presets=tmp_path / "presets"))
        options.setdefault("patience", Patience(restart=0.01, claim=0.02))
        desk = Desk(options.pop("settings"), catalog=FixedCatalog(), entry=entry, **options)  # type: ignore[arg-type]
        opened.append(desk)
        return desk

    yield make
    for desk in opened:
        desk.close()


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    return make_desk()


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Path]:
    """While this file is there, a job's first step does not end."""
    file = tmp_path / "outputs" / "hold"
    file.parent.mkdir(exist_ok=True)
    file.touch()
    yield file
    file.unlink(missing_ok=True)
