"""EMA and optimizers do what their papers say."""

import pytest
import torch
from torch import nn

from studio.training.config import OptimizerConfig
from studio.training.ema import EMA
from studio.training.optim import Group, Muon, optimizers, orthogonalised


def test_the_average_of_a_constant_is_the_constant_and_it_follows_a_move():
    weight = nn.Parameter(torch.ones(3))
    ema = EMA([weight], longest=0.9)
    for _ in range(5):
        ema.update()
    assert torch.equal(ema.average[0], torch.ones(3))
    with torch.no_grad():
        weight.fill_(2)
    ema.update()
    decay = ema.decay()
    torch.testing.assert_close(ema.average[0], torch.full((3,), decay * 1 + (1 - decay) * 2))


def test_the_average_is_applied_within_the_block_only_even_if_it_fails():
    weight = nn.Parameter(torch.zeros(2))
    ema = EMA([weight], longest=0.9)
    with torch.no_grad():
        weight.fill_(5)
    with pytest.raises(RuntimeError), ema.applied():
        assert torch.equal(weight, torch.zeros(2))
        raise RuntimeError
    assert torch.equal(weight, torch.full((2,), 5.0))


@pytest.mark.parametrize("shape", [(1, 16, 64), (3, 64, 16), (2, 32, 32)])
def test_orthogonalised_matrices_have_singular_values_near_one(shape):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonalised(x).float())
    assert singular.max() < 1.4
    assert singular.median() > 0.6


@pytest.mark.parametrize("name", optimizers.names())
def test_each_optimizer_learns_a_linear_map_with_kernels_and_vectors(name):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Flatten(), nn.Linear(8 * 16, 4))
    x, y = torch.randn(64, 3, 4, 4), torch.randn(64, 4)
    group = Group(tuple(model.named_parameters()), hidden=lambda n, p: p.ndim >= 2)
    config = OptimizerConfig(learning_rate=0.01, matrix_learning_rate=0.01, weight_decay=0.0)
    built = optimizers.get(name)([group], config)
    first = last = 0.0
    for _ in range(120):
        loss = (model(x) - y).square().mean()
        loss.backward()
        for optimizer in built:
            optimizer.step()
            optimizer.zero_grad()
        first, last = first or loss.item(), loss.item()
    assert last < 0.3 * first
    assert any(isinstance(o, Muon) for o in built) == (name == "muon")
