"""Depthwise layers that share the decision of the layers that feed them: which do, and what they compute."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sanp.cost.tracker import CostTracker
from sanp.gating import gated_layers
from sanp.gating.following_conv import FollowingConv
from sanp.methods.registry import gate
from sanp_runtime.network.macs import Convention, sample_macs
from sanp_runtime.network.support import Gate
from sanp_targets.errors import ConfigError
from tests.support.torch_networks import MobileNetV2Style

X = torch.zeros(1, 3, 16, 16)


class Between(nn.Module):
    """A gated convolution, something in between, a depthwise one of `width` channels, a head."""

    def __init__(self, between, width=8, out=None):
        super().__init__()
        self.between = between
        self.first, self.norm1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.other, self.norm2 = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.plain = nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")  # which cannot have a gate
        self.squeeze, self.excite = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)
        out = out or width
        self.depthwise, self.norm3 = nn.Conv2d(width, out, 3, padding=1, groups=width), nn.BatchNorm2d(out)
        self.head = nn.Linear(out, 5)

    def forward(self, x):
        y = self.between(self, self.norm1(self.first(x)), x)
        return self.head(F.relu(self.norm3(self.depthwise(y))).mean((2, 3)))


def squeeze_and_excite(net, y, x):
    y = F.relu6(y)
    weight = net.excite(F.relu(net.squeeze(F.adaptive_avg_pool2d(y, 1))))
    return y * F.relu6(weight + 3) / 6


def beside(net, y, x):
    return torch.cat([F.relu(y), F.relu(net.norm2(net.other(x))), net.plain(x)], 1)


FOLLOW = {
    "relu6": (lambda net, y, x: F.relu6(y), 8, ("first",)),
    "hard swish": (lambda net, y, x: y * F.relu6(y + 3) / 6, 8, ("first",)),
    "squeeze and excite": (squeeze_and_excite, 8, ("first",)),
    "padding and pooling": (lambda net, y, x: F.max_pool2d(F.pad(F.relu(y), (0, 1, 0, 1)), 2), 8, ("first",)),
    "concatenation": (beside, 20, ("first", "other")),
}
DECIDE = {
    "a sigmoid": (lambda net, y, x: torch.sigmoid(y), 8, None),
    "a shift": (lambda net, y, x: F.relu(y + 1), 8, None),
    "an addition": (lambda net, y, x: F.relu(y + net.norm2(net.other(x))), 8, None),
    "no gate": (lambda net, y, x: net.plain(x), 4, None),
    "more outputs than inputs": (lambda net, y, x: F.relu(y), 8, 16),
}


@pytest.mark.parametrize("name", FOLLOW)
def test_a_layer_follows_where_zeros_are_kept(name, force_masks):
    between, width, leaders = FOLLOW[name]
    torch.manual_seed(0)
    net = gate(Between(between, width), X, standardise=False).eval()
    assert net.gating.followers == {"depthwise": leaders} and "depthwise" not in net.gating.gated
    force_masks(net)
    nn.init.uniform_(net.depthwise.norm.bias, 0.5, 1.0)
    caught = []
    net.depthwise.register_forward_hook(lambda module, args, y: caught.append((args[0], y)))
    net(torch.randn(6, 3, 16, 16) + 2 * torch.randn(6, 3, 1, 1))
    x, y = caught[0]
    masks = [gated_layers(net)[leader].mask for leader in leaders]
    mask = torch.cat([*masks, torch.ones(6, width - 8 * len(leaders))], 1)
    assert 0 < mask.mean() < 1
    whole = net.depthwise.norm(net.depthwise.conv(x))
    torch.testing.assert_close(y, whole * mask[:, :, None, None], rtol=0, atol=0)
    assert not y[mask == 0].any() and (whole[mask == 0] != 0).all(), "the shift is closed with the channel"


@pytest.mark.parametrize("name", DECIDE)
def test_a_layer_decides_for_itself_where_one_gate_does_not_say_all(name):
    between, width, out = DECIDE[name]
    net = gate(Between(between, width, out), X)
    assert not net.gating.followers and "depthwise" in net.gating.gated


def test_share_none_gives_every_layer_a_gate():
    net = gate(MobileNetV2Style(), X, share="none")
    assert len(net.gating.gated) == 10 and not net.gating.followers
    with pytest.raises(ConfigError, match="share"):
        gate(MobileNetV2Style(), X, share="all")


@pytest.mark.parametrize("method", ["sanp", "static", "fixed-k", "fbs", "random"])
def test_every_method_with_gates_shares(method):
    torch.manual_seed(1)
    options = {"density": 0.5} if method in ("fixed-k", "fbs", "random") else {}
    net = gate(MobileNetV2Style(), X, method, **options).eval()
    for layer in gated_layers(net).values():
        for parameter in layer.gate.parameters():
            nn.init.normal_(parameter)
    net(torch.randn(4, 3, 16, 16))
    follower = net.get_submodule("features.1.conv.3")
    assert torch.equal(follower.open, gated_layers(net)["features.1.conv.0"].mask)


def test_in_training_a_follower_is_closed_where_the_noise_closed_its_leader():
    torch.manual_seed(2)
    net = gate(MobileNetV2Style(), X, noise=2.0).train()
    net(torch.randn(16, 3, 16, 16)).sum().backward()
    leader, follower = net.get_submodule("features.1.conv.0"), net.get_submodule("features.1.conv.3")
    assert torch.equal(follower.open, (leader.scale > 0).float())
    assert (follower.open != leader.mask).any(), "the draw differs from the decision without noise"
    assert leader.gate.net.fc2.bias.grad.abs().sum() > 0


def test_a_copy_follows_its_own_leader():
    net = gate(MobileNetV2Style(), X).eval()
    other = copy.deepcopy(net)
    other.get_submodule("features.1.conv.0").gate.net.fc2.bias.data.fill_(-1.0)
    x = torch.randn(2, 3, 16, 16)
    net(x), other(x)
    assert not other.get_submodule("features.1.conv.3").open.any()
    assert net.get_submodule("features.1.conv.3").open.all()
    assert set(net.state_dict()) == set(other.state_dict())
    leaders = [name for name in net.state_dict() if name.startswith("features.1.conv.3") and "gate" in name]
    assert not leaders, "a follower has no weights of a gate"


def test_what_follows_is_counted_with_its_leader(force_masks):
    net = gate(MobileNetV2Style(), X).eval()
    force_masks(net)
    tracker = CostTracker(net, X)
    rows = {row.name: row for row in tracker.layers}
    row, reader = rows["features.1.conv.3"], rows["features.1.conv.6"]
    assert row.follows == Gate("features.1.conv.0") == reader.support and row.masked and not row.gated
    net(torch.randn(3, 3, 16, 16))
    masks = {name: mask.numpy() for name, mask in tracker.masks().items()}
    assert "features.1.conv.3" not in masks
    macs = sample_macs([row], masks, Convention(spm="none"))
    np.testing.assert_array_equal(macs, 8 * 8 * 9 * masks["features.1.conv.0"].sum(1))
    # Closing a channel of the leader saves its own row, that of the follower and a column of the reader.
    saved = tracker.counter.filter_costs()["features.1.conv.0"]
    np.testing.assert_allclose(saved, 64 * 8 * 0.5 + 64 * 9 + 64 * 8 * 0.5)


def test_wrapped_in_another_module_the_names_still_fit():
    net = nn.Sequential(gate(MobileNetV2Style(), X)).eval()
    rows = {row.name: row for row in CostTracker(net, X).layers}
    assert rows["0.features.1.conv.3"].follows == Gate("0.features.1.conv.0")
    assert isinstance(net[0].get_submodule("features.1.conv.3"), FollowingConv)


def test_looking_for_followers_draws_no_random_numbers():
    """Or the option would change the weights of the gates in networks that have no depthwise layer at all."""
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(), nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8)
    )
    weights = []
    for share in ("depthwise", "none"):
        torch.manual_seed(0)
        weights.append(gate(plain.train(), torch.zeros(1, 3, 8, 8), share=share).state_dict())
    assert all(torch.equal(weights[0][name], value) for name, value in weights[1].items())
