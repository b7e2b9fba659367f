"""The sensitivity scan against real removals."""

from __future__ import annotations

import copy

import pytest
import torch

from sanp import models
from sanp.pruning.check import channel_groups
from sanp.pruning.criteria import CRITERIA
from sanp.pruning.removal import remove
from sanp.pruning.sensitivity import sensitivity


def test_each_layer_alone_and_as_a_removal_would_do_it():
    torch.manual_seed(0)
    network = models.build("m-cifarnet", width=0.25).eval()
    x, before = torch.randn(4, 3, 16, 16), copy.deepcopy(network.state_dict())
    groups = channel_groups(network, x)

    def measure(net):
        with torch.no_grad():
            return float(net(x).square().sum())

    found = sensitivity(network, groups, CRITERIA["L1"], measure, (0.25, 0.5, 1.0))
    assert list(found) == list(groups.rows) and all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    for name in ("conv0.conv", "conv5.conv"):
        order = network.get_submodule(name).weight.detach().abs().sum((1, 2, 3)).argsort()
        for share, value in zip((0.25, 0.5, 1.0), found[name], strict=True):
            small = copy.deepcopy(network)
            remove(small, groups, {name: order[: min(len(order) - 1, round(share * len(order)))]})
            assert value == pytest.approx(measure(small), rel=1e-4)
    assert len({value for row in found.values() for value in row}) > 20
