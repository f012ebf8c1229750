"""Weights are mapped where they can stay as they are; what is cast or laid out anew takes its own bytes and no others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from studio import compat
from studio.core.errors import ModelError

compat.prepare()
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from studio.manager.memory.weights import read_weights  # noqa: E402

CPU, MIB = torch.device("cpu"), 1 << 20
KERNELS, SIZE = 64, 1 << 20  # half of them 4-dimensional; elements of each


@pytest.fixture(scope="module")
def tensors() -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    shapes = [(512, 2048), (256, 1024, 2, 2)]
    return {f"t{k}": torch.randn(shapes[k % 2], generator=drawn).bfloat16() for k in range(KERNELS)}


@pytest.fixture(scope="module")
def file(tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    save_file(tensors | {"count": torch.arange(3)}, path := tmp_path_factory.mktemp("filling") / "w.safetensors")
    return path


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16])
@pytest.mark.parametrize("channels_last", [False, True])
def test_numbers_and_layout_are_what_a_module_would_make_of_them(
    dtype: torch.dtype, channels_last: bool, tensors: dict[str, torch.Tensor], file: Path
) -> None:
    found = read_weights((file,), dtype, CPU, channels_last)
    assert found.pop("count").equal(torch.arange(3))
    for name, tensor in found.items():
        layout = torch.channels_last if channels_last and tensor.ndim == 4 else torch.contiguous_format
        assert tensor.is_contiguous(memory_format=layout)
        assert tensor.dtype == dtype and tensor.equal(tensors[name].to(dtype))


MEASURE = """
import json, sys
from pathlib import Path

from studio import compat
compat.prepare()
import torch
from studio.manager.memory.limits import anonymous, give_back, measure_peak
from studio.manager.memory.weights import read_weights

cpu, rows = torch.device("cpu"), []
for dtype, channels_last in [(torch.bfloat16, False), (torch.float32, False), (torch.bfloat16, True)]:
    give_back()
    before, measured = anonymous(), measure_peak(cpu, exact=True)
    found = read_weights((Path(sys.argv[1]),), dtype, cpu, channels_last)
    peak = measured()  # of all pages, so before those that are only mapped are touched
    touched = [float(tensor.sum()) for tensor in found.values()]
    held = anonymous() - before
    del found
    give_back()
    rows.append({"held": held, "peak": peak, "kept": anonymous() - before})
print(json.dumps(rows))
"""


@pytest.fixture(scope="module")
def memory(file: Path, root: Path) -> list[dict[str, int | None]]:
    """Bytes that reading took, in a process that has done nothing else: whose memory has no holes of earlier work."""
    command = [sys.executable, "-c", MEASURE, str(file)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("case", "copied"),
    [
        pytest.param(0, 0, id="mapped as it is"),
        pytest.param(1, 4 * KERNELS * SIZE, id="cast to float32"),
        pytest.param(2, KERNELS * SIZE, id="half of it channels last"),
    ],
)
def test_a_copy_takes_its_own_bytes_and_gives_them_back(
    case: int, copied: int, memory: list[dict[str, int | None]]
) -> None:
    """The file's own pages are not kept beside it, neither meanwhile nor afterwards; what is mapped takes no memory."""
    held, peak, kept = memory[case].values()
    assert held is not None and copied <= held + MIB and held < copied + 8 * MIB
    assert peak is None if sys.platform != "linux" else copied <= peak + MIB and peak < copied + 16 * MIB
    assert kept is not None and kept < 8 * MIB


def test_a_file_that_ends_early_is_a_sentence(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="The file is incomplete"):
        read_weights((cut,), torch.float32, CPU, channels_last=False)
