"""The Python API: `from studio import Studio, GenerationRequest`, and a picture in five lines."""

import subprocess
import sys
from pathlib import Path

import pytest


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys, studio; print(sorted(m for m in sys.modules if m.startswith(('studio.', 'torch', 'pydantic'))))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


@pytest.mark.sweep  # by default in tests/test_studio.py, with a smaller model and a studio that is open already
def test_five_lines_make_a_picture(root: Path, tmp_path: Path) -> None:
    """As the README has it, with the starter model."""
    code = f"""
from studio import GenerationRequest, Settings, Studio

with Studio(Settings(outputs={str(tmp_path / "outputs")!r})) as studio:
    [picture] = studio.generate(GenerationRequest(prompt="a large red heart", steps=4, seed=1))
    picture.save({str(tmp_path / "heart.png")!r})
print(picture.size)
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert said.stdout.strip() == "(128, 128)", said.stderr
    assert (tmp_path / "heart.png").stat().st_size > 1000
