"""The quarter of an hour on a GPU, rehearsed on the processor: each section does its work in miniature and reports it."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from tests.sweeps import one_in


@pytest.mark.sweep
def test_speed_and_training_are_measured_and_the_model_comes_in_pieces(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "scripts/cuda.py", "--rehearse", "--only", "b,c", "--minutes", "60"]
    folders = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    done = subprocess.run([*command, *folders], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    speed, training = (report["sections"][name]["figures"] for name in "bc")
    ways = ("bare diffusers", "studio", "studio compiled")
    assert speed["sd1"]["identical"] and all(speed["sd1"][way]["seconds_a_step"] > 0 for way in ways)
    assert 0 < training["emoji-mmdit-256"]["steps"] < 40  # of 40: the time decided
    assert Image.open(tmp_path / "out" / "samples.png").width >= 128
    whole = tmp_path / "model.tar"
    whole.write_bytes(b"".join((tmp_path / "out" / name).read_bytes() for name in training["pieces"]))
    with tarfile.open(whole) as archive:
        assert "emoji-mmdit-256/model_index.json" in archive.getnames()
    assert "| sd1 | studio compiled |" in (tmp_path / "out" / "report.md").read_text()
    assert len(list((tmp_path / "out").iterdir())) <= 8


def test_what_a_machine_lacks_is_named_and_nothing_else_is_begun(root: Path, tmp_path: Path) -> None:
    code = "import sys, runpy; sys.modules['cv2'] = None; runpy.run_path('scripts/cuda.py', run_name='__main__')"
    folders = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    done = subprocess.run([sys.executable, "-c", code, *folders], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "NOT RUN: this machine lacks opencv-python-headless" in done.stdout


@pytest.mark.parametrize("name", one_in(3, ["sd1", "sdxl", "flux"]))
def test_the_full_sizes_are_those_that_were_published(name: str, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(root / "scripts"))
    import cuda_speed

    made = cuda_speed.full_size(name, "meta")["transformer" if name == "flux" else "unet"]
    millions = sum(p.numel() for p in made.parameters()) / 1e6
    assert millions == pytest.approx({"sd1": 860, "sdxl": 2567, "flux": 11901}[name], abs=1)
