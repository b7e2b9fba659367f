"""Finding and gating the layers of networks written by other people."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanp import models
from sanp.gating import GatedConv, SaliencyGate, gated_layers
from sanp.methods.registry import gate
from sanp_targets.errors import ConfigError
from tests.support.torch_networks import DenseNetStyle, MobileNetV2Style, ResNet50Style, SqueezeExciteNet

X = torch.zeros(1, 3, 32, 32)


def open_all(model):
    """Make every gate open with scale 1, so that the gated network must equal the plain one."""
    for layer in gated_layers(model).values():
        layer.gate.net.fc2.weight.data.zero_()
        layer.gate.net.fc2.bias.data.fill_(1.0)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (ResNet50Style, 1 + 4 * 3 + 2),
        (MobileNetV2Style, 1 + 3 * 2),  # depthwise layers follow
        (DenseNetStyle, 4),
        (SqueezeExciteNet, 3),
        (lambda: models.build("resnet-18", width=0.1), 20),
        (lambda: models.build("vgg-19", width=0.1), 16),
        (lambda: models.build("m-cifarnet", width=0.1), 8),
    ],
)
def test_every_layer_is_found_and_open_gates_change_nothing(build, count):
    torch.manual_seed(0)
    plain = build().eval()
    for norm in (m for m in plain.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.3), norm.running_var.uniform_(0.5, 2)
    gated = gate(plain, X)
    assert len(gated.gating.gated) == count
    assert not any(isinstance(module, GatedConv) for module in plain.modules())
    open_all(gated)
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(gated(x), plain(x), rtol=1e-4, atol=1e-5)


def test_names_are_module_paths_and_hierarchy_is_kept():
    gated = gate(models.build("resnet-18", width=0.1), X)
    assert list(gated_layers(gated))[:4] == ["conv1", "layer1.0.conv1", "layer1.0.conv2", "layer1.1.conv1"]
    assert "layer2.0.shortcut.0" in gated.gating.gated
    assert isinstance(gated.get_submodule("layer2.0.shortcut.1"), nn.Identity)


def test_training_mode_and_statistics_survive():
    plain = models.build("m-cifarnet", width=0.1).train()
    before = plain.conv0.norm.running_mean.clone()
    gated = gate(plain, torch.randn(2, 3, 32, 32))
    assert gated.training and gated.conv0.conv.gate.training
    assert torch.equal(gated.conv0.conv.norm.running_mean, before)
    assert int(gated.conv0.conv.norm.num_batches_tracked) == 0


class Odd(nn.Module):
    """Three gateable convolutions among four that are not."""

    def __init__(self):
        super().__init__()
        self.good, self.good_norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.shared, self.shared_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.two_readers, self.two_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.bare = nn.Conv2d(4, 4, 1)
        self.reflected, self.reflected_norm = nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(4)
        self.batch_stats, self.batch_norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
        self.unused = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = torch.relu(self.good_norm(self.good(x)))
        x = self.shared_norm(self.shared(self.shared(x)))
        y = self.two_readers(x)
        x = self.two_norm(y) + y
        x = self.batch_norm(self.batch_stats(self.reflected_norm(self.reflected(self.bare(x)))))
        return x.mean((2, 3))


def test_what_cannot_be_gated_is_listed_with_its_reason():
    report = gate(Odd(), X).gating
    assert report.gated == ("good", "two_readers", "bare") and report.norms == {
        "good": "good_norm",
        "two_readers": "",
        "bare": "",
    }
    reasons = {row.name: row.reason for row in report.skipped}
    expected = {
        "shared": "2 times", "reflected": "reflect",
        "batch_stats": "running statistics", "unused": "does not use",
    }  # fmt: skip
    assert set(reasons) == set(expected)
    for name, words in expected.items():
        assert words in reasons[name]


def test_a_network_of_heads_alone_is_refused_with_the_reason():
    with pytest.raises(ConfigError, match=r"no layer to gate.*0: its output is an output of the network"):
        gate(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), X)


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


def test_a_network_that_cannot_be_traced_says_why():
    with pytest.raises(ConfigError, match=r"Branching cannot be traced.*control flow"):
        gate(Branching(), X)


def test_a_wrong_example_is_named():
    with pytest.raises(ConfigError, match=r"\(1, 5, 32, 32\)"):
        gate(models.build("vgg-19", width=0.1), torch.zeros(1, 5, 32, 32))


def test_gating_twice_is_refused():
    with pytest.raises(ConfigError, match="gated already"):
        gate(gate(models.build("vgg-19", width=0.1), X), X)


@pytest.mark.parametrize(
    ("method", "options", "says"),
    [("sanpp", {}, "sanp, static"), ("sanp", {"density": 0.5}, "no setting .density."), ("static", {"q": 1}, "noise")],
)
def test_unknown_methods_and_options_are_refused(method, options, says):
    with pytest.raises(ConfigError, match=says):
        gate(models.build("vgg-19", width=0.1), X, method, **options)


@pytest.mark.parametrize("method", ["sanp", "fixed-k", "static", "random"])
def test_every_method_trains_a_step(method):
    torch.manual_seed(0)
    gated = gate(models.build("m-cifarnet", width=0.1), X, method).train()
    gated(torch.randn(4, 3, 32, 32)).logsumexp(1).sum().backward()
    gates = [p for m in gated.modules() if isinstance(m, SaliencyGate) for p in m.parameters()]
    assert all(p.grad is not None for p in gates)
