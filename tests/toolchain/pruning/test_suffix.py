"""Runs from a changed layer on: the same bits as whole runs, whatever a network does in place."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sanp import models
from sanp.pruning.suffix import Suffix
from tests.toolchain.pruning.networks import Random


@pytest.mark.parametrize(
    "name", ["m-cifarnet", "resnet-20", "resnet-20-a", "imagenet-resnet-50", "imagenet-mobilenet-v2"]
)
def test_changes_in_every_layer_in_turn(name):
    torch.manual_seed(0)
    network, x = models.build(name, width=0.25).eval(), torch.randn(3, 3, 32, 32)
    suffix = Suffix(network, x[:1])
    layers = [path for path, module in network.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    with torch.no_grad():
        assert torch.equal(suffix.remember(x), network(x))
        for layer in layers[:: max(1, len(layers) // 12)]:
            weight = network.get_submodule(layer).weight
            before = weight.clone()
            weight[:, 0] = 0
            assert torch.equal(suffix.again([layer]), network(x)), layer
            weight.copy_(before)
        assert torch.equal(suffix.again(()), suffix.again(layers[:1]))


def calls_of(network, x, layer):
    """How many modules run again after a change of a layer."""
    suffix, count = Suffix(network, x[:1]), [0]
    suffix.remember(x)
    hooks = [
        module.register_forward_hook(lambda *rest: count.__setitem__(0, count[0] + 1))
        for module in network.modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    ]
    suffix.again([layer])
    for hook in hooks:
        hook.remove()
    return count[0]


def test_only_what_lies_behind_is_computed_again():
    network, x = models.build("m-cifarnet", width=0.1).eval(), torch.randn(2, 3, 16, 16)
    assert [calls_of(network, x, name) for name in ("conv0.conv", "conv6.conv", "head")] == [9, 3, 1]


@pytest.mark.parametrize("seed", range(6))
def test_random_networks(seed):
    torch.manual_seed(seed)
    network, x = Random(seed).eval(), torch.randn(4, 3, 8, 8)
    suffix = Suffix(network, x[:1])
    with torch.no_grad():
        suffix.remember(x)
        for layer in [path for path, module in network.named_modules() if isinstance(module, (nn.Conv2d, nn.Linear))]:
            network.get_submodule(layer).weight.mul_(0.5)
            assert torch.equal(suffix.again([layer]), network(x))
            suffix.remember(x)


class InPlace(nn.Module):
    """Adds into a tensor, and in its second form changes one behind the back of a graph that names it before."""

    def __init__(self, hidden):
        super().__init__()
        self.first, self.side, self.head, self.hidden = (
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(3, 4, 1),
            nn.Conv2d(4, 5, 1),
            hidden,
        )

    def forward(self, x):
        y = self.first(x)
        y = y.add_(self.side(x))
        if self.hidden:
            F.relu_(y)
        else:
            y = F.relu(y, inplace=True)
        return self.head(y).mean((2, 3))


@pytest.mark.parametrize("hidden", [False, True])
def test_values_that_change_in_place(hidden):
    torch.manual_seed(0)
    network, x = InPlace(hidden).eval(), torch.randn(4, 3, 6, 6)
    suffix = Suffix(network, x[:1])
    with torch.no_grad():
        assert torch.equal(suffix.remember(x), network(x))
        for layer in ("first", "side", "head", "side"):
            network.get_submodule(layer).weight[0].mul_(-2)
            assert torch.equal(suffix.again([layer]), network(x))
            assert torch.equal(suffix.again([layer]), network(x))
            suffix.remember(x)
