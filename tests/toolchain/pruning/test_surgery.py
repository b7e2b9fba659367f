"""Removal of channels: nothing else changes, momentum goes along, and what does not fit is refused untouched."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sanp.pruning.surgery import Keep, narrow
from sanp_targets.errors import ConfigError


class Mixed(nn.Module):
    """A convolution with bias, a depthwise one, batch norms and a linear layer behind a flatten."""

    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.depthwise, self.second = nn.Conv2d(6, 6, 3, padding=1, groups=6), nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 4, 1, groups=2)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.second(self.depthwise(x)))
        return self.head(self.grouped(x).mean((2, 3)))


def spread(network):
    """Weights and statistics that are all different."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.uniform_(0.3, 1.5)
    return network


def test_removing_channels_that_are_zero_changes_no_output():
    """Channels 1 and 4 are dead: weight, bias and shift are zero, so what reads them gets zeros."""
    network = spread(nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1))).eval()
    with torch.no_grad():
        network[1].weight[[1, 4]] = 0
        network[1].bias[[1, 4]] = 0
    x = torch.randn(2, 3, 8, 8)
    before, left = network(x), torch.tensor([0, 2, 3, 5])
    narrow(network, {"0": Keep(left), "1": Keep(left), "3": Keep(inputs=left)}, {})
    assert network[0].weight.shape == (4, 3, 3, 3) and network[1].num_features == 4
    torch.testing.assert_close(network(x), before)


def test_depthwise_convolutions_stay_depthwise():
    network = spread(Mixed()).eval()
    whole, left = copy.deepcopy(network), torch.tensor([0, 1, 2, 3, 5])
    narrow(network, {name: Keep(left) for name in ("first", "norm", "depthwise", "second")}, {})
    assert (network.depthwise.groups, network.depthwise.in_channels, network.depthwise.out_channels) == (5, 5, 5)
    x = torch.randn(2, 3, 8, 8)
    small = network.second(network.depthwise(torch.relu(network.norm(network.first(x)))))
    large = whole.second(whole.depthwise(torch.relu(whole.norm(whole.first(x)))))
    torch.testing.assert_close(small, large[:, left])


def test_momentum_follows_its_parameters():
    network = spread(Mixed())
    momentum = {name: torch.rand_like(value) for name, value in network.named_parameters()}
    left = torch.tensor([2, 5])
    found = narrow(network, {"first": Keep(left), "norm": Keep(left)}, momentum)
    assert torch.equal(found["first.weight"], momentum["first.weight"][left])
    assert torch.equal(found["norm.bias"], momentum["norm.bias"][left])
    assert torch.equal(found["head.weight"], momentum["head.weight"])
    inputs = torch.tensor([0, 3])
    found = narrow(network, {"head": Keep(inputs=inputs)}, found)
    assert torch.equal(found["head.weight"], momentum["head.weight"][:, inputs])
    assert torch.equal(found["head.bias"], momentum["head.bias"])
    assert all(found[name].shape == value.shape for name, value in network.named_parameters())


@pytest.mark.parametrize(
    ("name", "keep", "says"),
    [
        ("norm", Keep(torch.tensor([0, 6])), r"norm keeps inputs \[0, 6\], expected .* 0 to 5"),
        ("first", Keep(torch.tensor([2, 1])), "ascending"),
        ("first", Keep(torch.tensor([1, 1])), "ascending"),
        ("first", Keep(torch.tensor([], dtype=torch.int64)), "at least one"),
        ("first", Keep(torch.tensor([0.0])), "int64"),
        ("grouped", Keep(torch.tensor([0])), "2 groups"),
        ("third", Keep(torch.tensor([0])), "no layer third"),
        ("", Keep(torch.tensor([0])), "is a Mixed"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_changes(name, keep, says):
    network = Mixed()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ConfigError, match=says):
        narrow(network, {"first": Keep(torch.tensor([0])), name: keep}, {})
    assert {key: value.shape for key, value in network.state_dict().items()} == {
        key: value.shape for key, value in before.items()
    }
