"""Clusters: fixed numbers, the pull and its gradient, and a merge that loses nothing once a cluster has collapsed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from sanp import models
from sanp.pruning.check import channel_groups
from sanp.pruning.clusters import Pull, even, k_means, merge, others, survivors
from sanp.pruning.removal import remove
from tests.toolchain.pruning.networks import Random, spread

SMALL = torch.zeros(1, 3, 8, 8)


def collapse(network, groups, clusters):
    """Give every unit the weights and statistics of the first of its cluster."""
    with torch.no_grad():
        for name, numbers in clusters.items():
            heirs = survivors(numbers)
            for member in groups.rows[name].members:
                if member.side != "outputs":
                    continue
                order = member.units.argsort(stable=True)
                channels = member.channels[order].view(groups.rows[name].width, -1)
                module = network.get_submodule(member.layer)
                for key in ("weight", "bias", "running_mean", "running_var"):
                    if getattr(module, key, None) is not None:
                        value = getattr(module, key)
                        value[channels.flatten()] = value[channels[heirs].flatten()].clone()


def halved(groups, assign=even):
    return {name: assign(row.width, max(1, row.width // 2)) for name, row in groups.rows.items()}


@pytest.mark.parametrize("seed", range(12))
def test_merging_collapsed_clusters_loses_nothing(seed):
    network = spread(Random(seed)).double()
    groups = channel_groups(network, SMALL.double())
    clusters = halved(groups)
    collapse(network, groups, clusters)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        merge(network, groups, clusters)
        torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)
        remove(network, groups, others(clusters))
        torch.testing.assert_close(network(x), expected, rtol=1e-9, atol=1e-9)
    assert all(network.get_submodule(row.name).out_channels == max(1, row.width // 2) for row in groups.rows.values())


def test_without_the_merge_collapsed_clusters_lose_what_the_others_wrote():
    network = spread(Random(3)).double()
    groups = channel_groups(network, SMALL.double())
    clusters = halved(groups)
    collapse(network, groups, clusters)
    x = torch.randn(3, 3, 8, 8, dtype=torch.float64)
    with torch.no_grad():
        expected = network(x)
        remove(network, groups, others(clusters))
        assert not torch.allclose(network(x), expected, rtol=1e-3)


def test_even_clusters_and_their_survivors():
    assert even(7, 3).tolist() == [0, 0, 0, 1, 1, 2, 2] and even(4, 4).tolist() == [0, 1, 2, 3]
    for width, count in ((64, 38), (5, 1), (16, 15)):
        sizes = even(width, count).bincount()
        assert len(sizes) == count and int(sizes.max() - sizes.min()) <= 1
    assert survivors(torch.tensor([1, 0, 1, 2, 0])).tolist() == [0, 1, 0, 3, 1]


def test_k_means_finds_filters_that_are_alike_and_leaves_no_cluster_empty():
    torch.manual_seed(0)
    network = models.build("m-cifarnet", width=0.25)
    centres = torch.randn(4, 3, 3, 3)
    kinds = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0, 0, 1, 2, 3, 0, 0, 0, 0])
    network.conv0.conv.weight.data = centres[kinds] + 0.01 * torch.randn(16, 3, 3, 3)
    group = channel_groups(network, torch.zeros(1, 3, 16, 16)).rows["conv0.conv"]
    found = k_means(network, group, 4)
    assert all(len(found[kinds == kind].unique()) == 1 for kind in range(4)) and len(found.unique()) == 4
    assert torch.equal(found, k_means(network, group, 4))
    network.conv0.conv.weight.data = centres[:1].repeat(16, 1, 1, 1)  # all alike: still as many clusters as asked
    assert len(k_means(network, group, 5).unique()) == 5


def test_the_pull_is_towards_the_mean_of_the_cluster():
    """The gradient of the distance is w - mean, for filters, scales and shifts, in all layers that write the group."""
    torch.manual_seed(0)
    network = models.build("resnet-20", width=0.25)
    groups = channel_groups(network, torch.zeros(1, 3, 16, 16))
    clusters = {"conv1": torch.tensor([0, 1, 1, 0])}
    pull = Pull(network, groups, clusters)
    pull.distance().backward()
    touched = {name for name, value in network.named_parameters() if value.grad is not None}
    assert touched >= {"conv1.weight", "bn1.weight", "bn1.bias", "layer1.2.conv2.weight", "layer1.2.bn2.bias"}
    assert "layer1.0.conv1.weight" not in touched  # it reads the group
    weight = network.conv1.weight.detach()
    expected = weight.clone()
    for pair in ([0, 3], [1, 2]):
        expected[pair] -= weight[pair].mean(0)
    torch.testing.assert_close(network.conv1.weight.grad, expected)


def test_gradient_steps_shrink_the_radius_and_keep_the_means():
    torch.manual_seed(0)
    network = models.build("resnet-20", width=0.25)
    groups = channel_groups(network, torch.zeros(1, 3, 16, 16))
    clusters = halved(groups)
    pull, start = Pull(network, groups, clusters), copy.deepcopy(network)
    before = pull.radius()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.5)
    for _ in range(20):
        optimizer.zero_grad()
        pull.distance().backward()
        optimizer.step()
    assert before > 0.1 and pull.radius() < 1e-5
    pair = network.conv1.weight.detach()[:2]
    torch.testing.assert_close(pair[0], start.conv1.weight.detach()[:2].mean(0))
    assert isinstance(network.bn1, nn.BatchNorm2d)
