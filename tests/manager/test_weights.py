"""Weights are mapped where they can stay as they are; what is cast or laid out anew takes its own bytes and no others."""

from pathlib import Path

import pytest

from studio import compat
from studio.core.errors import ModelError

compat.prepare()
import torch  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from studio.manager.memory.limits import anonymous, give_back, measure_peak  # noqa: E402
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


def test_what_stays_as_it_is_is_mapped_and_takes_no_memory_of_its_own(file: Path) -> None:
    before = anonymous()
    found = read_weights((file,), torch.bfloat16, CPU, channels_last=False)
    assert sum(float(tensor.sum()) for tensor in found.values())
    assert anonymous() - before < 8 * MIB


@pytest.mark.parametrize(
    ("dtype", "channels_last", "copied"),
    [(torch.float32, False, 4 * KERNELS * SIZE), (torch.bfloat16, True, KERNELS * SIZE)],
)
def test_a_copy_takes_its_own_bytes_and_gives_them_back(
    dtype: torch.dtype, channels_last: bool, copied: int, file: Path
) -> None:
    """The file's own pages do not stand beside it, neither meanwhile nor afterwards."""
    give_back()
    before, measured = anonymous(), measure_peak(CPU, exact=True)
    found = read_weights((file,), dtype, CPU, channels_last)
    peak = measured()
    assert anonymous() - before < copied + 16 * MIB  # less where the process had room of its own to give
    assert peak is None or peak < copied + 16 * MIB
    del found
    give_back()
    assert anonymous() - before < 16 * MIB


def test_a_file_that_ends_early_is_a_sentence(file: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="The file is incomplete"):
        read_weights((cut,), torch.float32, CPU, channels_last=False)
