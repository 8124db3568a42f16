"""What the trainers share."""

import itertools

import torch
from torch import nn

from resources.miniature.training import AveragedWeights, Muon, Optimisers, constant_then_linear


def test_the_learning_rate_rises_stays_and_falls() -> None:
    factors = [constant_then_linear(step, 1000, warmup=100, constant=0.5, floor=0.1) for step in range(1000)]
    assert factors[0] == 0.01
    assert factors[99] == factors[499] == 1.0
    assert 0.49 < factors[750] < 0.51
    assert factors[999] == 0.1
    assert all(later <= earlier for earlier, later in itertools.pairwise(factors[100:]))


def test_muon_moves_every_direction_alike() -> None:
    torch.manual_seed(0)
    weight = nn.Parameter(torch.zeros(8, 4, 2, 2))
    # One direction of the gradient is a hundred times stronger than the others.
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    gradient = rotation @ torch.diag(torch.tensor([100.0] + [1.0] * 7)) @ torch.eye(8, 16)
    weight.grad = gradient.view_as(weight)
    Muon([weight], lr=1.0).step()
    spread = torch.linalg.svdvals(weight.detach().flatten(1))
    assert spread.max() / spread.min() < 4
    assert (weight.detach() * weight.grad).sum() < 0, "it goes down"


def test_optimisers_fit_a_linear_map() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 2))
    wanted = torch.randn(6, 2)
    optimisers = Optimisers(model, 0.02, lambda name: name.startswith("0"))
    losses = []
    for step in range(200):
        rows = torch.randn(64, 6)
        loss = (model(rows) - rows @ wanted).square().mean()
        optimisers.step(loss, constant_then_linear(step, 200, warmup=10))
        losses.append(loss.item())
    assert losses[-1] < 0.01 * losses[0]


def test_averaged_weights_follow_and_swap() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    averages = AveragedWeights(model, 0.5)
    with torch.no_grad():
        model.weight.fill_(1.0)
    averages.update(step=1000)
    averages.swap()
    assert model.weight.item() == 0.5
    averages.swap()
    assert model.weight.item() == 1.0
