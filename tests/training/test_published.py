"""Published data sets: read from what was downloaded; one sentence where that cannot be."""

import subprocess

import numpy as np
import pytest

from studio.core.errors import InvalidRequest
from studio.training.datasets import datasets, published


def test_pictures_are_read_from_the_download_and_named_by_their_class(tmp_path, monkeypatch):
    monkeypatch.setattr(published, "DOWNLOADS", tmp_path)
    gray = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    np.savez(tmp_path / "FashionMNIST-test.npz", images=gray, labels=np.array([9, 0]))
    np.savez(tmp_path / "CIFAR10-train.npz", images=np.zeros((1, 32, 32, 3), np.uint8), labels=np.array([3]))
    clothes = datasets.get("fashion_mnist")(size=28, split="held_out")
    assert [clothes[k].caption for k in range(3)] == ["ankle boot", "T-shirt", "ankle boot"]
    assert np.array_equal(clothes[1].image[..., 2], gray[1])
    assert (datasets.get("cifar10")(size=16)[0].image.shape, len(clothes)) == ((16, 16, 3), 2)


@pytest.mark.parametrize(
    ("error", "why"),
    [("URLError: unreachable", "could not be reached"), ("No module named 'torchvision'", "is not installed")],
)
def test_without_a_network_or_torchvision_one_sentence_says_so(error, why, tmp_path, monkeypatch):
    monkeypatch.setattr(published, "DOWNLOADS", tmp_path)
    failed = subprocess.CompletedProcess([], 1, "", error)
    monkeypatch.setattr(published.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(InvalidRequest, match=why):
        datasets.get("mnist")(size=28)
