"""Channel groups: removal equals masking and equals the library's own surgery; what cannot be followed is left out."""

from __future__ import annotations

import copy

import pytest
import torch
import torch_pruning
from torch import nn

from sanp import models
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.pruning.check import channel_groups
from sanp.pruning.dependencies import dependencies
from sanp.pruning.removal import masked, remove
from sanp.pruning.width_cost import WidthCost, widths_after
from sanp_targets.errors import ConfigError
from tests.toolchain.pruning.networks import Random, spread

SMALL = torch.zeros(1, 3, 8, 8)
IMAGE = torch.zeros(1, 3, 32, 32)


def some_of(groups, seed=0, share=0.4):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randperm(row.width, generator=generator)[: max(1, int(row.width * share))]
        for name, row in groups.rows.items()
        if row.width > 1
    }


def logits(network, x):
    with torch.no_grad():
        return network(x)


@pytest.mark.parametrize("seed", range(16))
def test_removal_equals_masking_on_random_networks(seed):
    network = spread(Random(seed)).double()
    groups = channel_groups(network, SMALL.double())
    assert not groups.untreated
    x, before = torch.randn(3, 3, 8, 8, dtype=torch.float64), copy.deepcopy(network.state_dict())
    removed = some_of(groups, seed)
    with masked(network, groups, removed):
        expected = logits(network, x)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not torch.allclose(expected, logits(network, x))
    remove(network, groups, removed)
    torch.testing.assert_close(logits(network, x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_removal_equals_the_surgery_of_the_library(seed):
    """Group by group, from copies of one network: the same tensors, bit for bit."""
    network = spread(Random(seed))
    groups = channel_groups(network, SMALL)
    for name, units in some_of(groups, seed).items():
        ours, theirs = copy.deepcopy(network), copy.deepcopy(network)
        remove(ours, groups, {name: units})
        graph = torch_pruning.DependencyGraph().build_dependency(theirs, SMALL, verbose=False)
        root = theirs.get_submodule(name)
        group = graph.get_pruning_group(root, torch_pruning.prune_conv_out_channels, units.tolist())
        assert graph.check_pruning_group(group)
        group.prune()
        found, expected = ours.state_dict(), theirs.state_dict()
        assert {key: value.shape for key, value in found.items()} == {
            key: value.shape for key, value in expected.items()
        }
        assert all(torch.equal(value, expected[key]) for key, value in found.items())


@pytest.mark.parametrize("seed", range(6))
def test_groups_after_a_removal_are_those_of_the_network_that_is_left(seed):
    network = spread(Random(seed))
    groups = channel_groups(network, SMALL)
    removed = some_of(groups, seed, 0.3)
    left = groups.after(removed)
    remove(network, groups, removed)
    again = dependencies(network, SMALL)
    assert list(left.rows) == list(again.rows)
    for name, row in left.rows.items():
        other = again.rows[name]
        assert (row.width, row.layers) == (other.width, other.layers)
        theirs = {(member.layer, member.side): member for member in other.members}
        for member in row.members:
            twin = theirs.pop((member.layer, member.side))
            pairs = [sorted(zip(part.units.tolist(), part.channels.tolist())) for part in (member, twin)]
            assert pairs[0] == pairs[1]
        assert not theirs


@pytest.mark.parametrize("name", ["vgg-16", "resnet-18", "resnet-20", "imagenet-resnet-50", "imagenet-mobilenet-v2"])
def test_the_cost_of_widths_is_that_of_the_smaller_network(name):
    network = models.build(name, width=0.25)
    groups = channel_groups(network, IMAGE)
    cost = WidthCost(network, IMAGE, groups, MacCounter)
    removed = some_of(groups)
    expected = widths_after(groups, removed)
    share = cost.share({key: len(units) for key, units in removed.items()})
    assert cost.share() == 1 and 0.3 < share < 0.8
    remove(network, groups, removed)
    assert CostTracker(network, IMAGE).dense / cost.full == pytest.approx(share, rel=1e-12)
    assert {layer: network.get_submodule(layer).out_channels for layer in expected} == expected


def test_a_residual_stream_is_one_group_and_every_writer_can_be_scored():
    groups = channel_groups(models.build("resnet-20", width=0.5), IMAGE)
    stream = groups.rows["conv1"]
    assert stream.layers == ("conv1", "layer1.0.conv2", "layer1.1.conv2", "layer1.2.conv2") and stream.coupled
    projected = groups.of_layer("layer2.0.shortcut.0")
    assert set(projected.layers) >= {"layer2.0.conv2", "layer2.0.shortcut.0", "layer2.2.conv2"}
    assert not {"layer1.0.conv1", "layer3.2.conv1"} - set(groups.inner().rows)
    assert "conv1" not in groups.inner().rows and "added" in groups.inner().untreated["conv1"]


def test_channels_behind_a_padded_shortcut_stay():
    """The library couples channel i of the narrow stream with channel i of the wide one, which is channel i + 8."""
    groups = channel_groups(models.build("resnet-20-a"), IMAGE)
    assert len(groups.rows) == 9 and all(name.endswith(".conv1") for name in groups.rows)
    assert "changes more than masking" in groups.untreated["layer2.0.conv2"]
    assert dependencies(models.build("resnet-20-a"), IMAGE).rows.keys() - groups.rows.keys()


class Shuffled(nn.Module):
    """Reads its channels by their places, so that none of `first` can leave."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1)
        self.third, self.head = nn.Conv2d(6, 5, 1, groups=1), nn.Linear(5, 4)

    def forward(self, x):
        x = self.second(self.first(x).reshape(-1, 2, 3, 8, 8).transpose(1, 2).reshape(-1, 6, 8, 8))
        return self.head(self.third(x).mean((2, 3)))


class Grouped(nn.Module):
    """A grouped convolution or a group norm: neither can be narrowed by single channels."""

    def __init__(self, groups, norm):
        super().__init__()
        self.first, self.grouped = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=groups)
        self.norm, self.free, self.head = norm, nn.Conv2d(8, 6, 1), nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.free(self.norm(self.grouped(self.first(x)))).relu().mean((2, 3)))


def test_what_cannot_be_followed_is_left_out_with_a_reason():
    shuffled = channel_groups(Shuffled(), SMALL)
    assert "first" in shuffled.untreated and {"second", "third"} <= set(shuffled.rows)
    grouped = channel_groups(Grouped(2, nn.BatchNorm2d(8)), SMALL)
    assert set(grouped.rows) == {"free"} and "2 groups" in grouped.untreated["first"]
    normed = channel_groups(Grouped(1, nn.GroupNorm(2, 8)), SMALL)
    assert set(normed.rows) == {"first", "free"} and "GroupNorm" in normed.untreated["grouped"]


def test_the_output_of_the_network_is_no_group_and_a_network_without_one_is_refused():
    assert "network's output" in channel_groups(models.build("m-cifarnet", width=0.1), IMAGE).untreated["head"]
    with pytest.raises(ConfigError, match=r"no channel of Sequential can be removed \(0: its channels are the network"):
        channel_groups(nn.Sequential(nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()), SMALL)


def test_an_empty_layer_is_refused_before_anything_changes():
    network = models.build("m-cifarnet", width=0.1)
    groups = channel_groups(network, IMAGE)
    before = copy.deepcopy(network.state_dict())
    removed = {"conv1.conv": torch.tensor([0]), "conv2.conv": torch.arange(groups.rows["conv2.conv"].width)}
    with pytest.raises(ConfigError, match=r"all 13 channels of layer conv2\.conv"):
        remove(network, groups, removed)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_network_that_is_followed_stays_as_it_is():
    network = models.build("resnet-20", width=0.5).train().requires_grad_(False)
    before = copy.deepcopy(network.state_dict())
    channel_groups(network, IMAGE)
    assert network.training and not any(value.requires_grad for value in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_reason_of_a_refusal_is_not_that_of_the_last_layer():
    rows = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=2), nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    with pytest.raises(ConfigError, match=r"can be removed \(\d: .* 2 groups"):
        channel_groups(nn.Sequential(*rows), SMALL)
