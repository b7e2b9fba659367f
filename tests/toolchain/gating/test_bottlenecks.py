"""Linear bottlenecks, and networks that leave them open."""

import pytest
import torch
from torch import nn

import sanp
from sanp.gating import gated_layers
from sanp.models import build


class Block(nn.Module):
    """A narrow end behind which `after` decides what it is, beside a residual sum."""

    def __init__(self, after, out=4):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.narrow, self.norm, self.after = nn.Conv2d(8, out, 1, bias=False), nn.BatchNorm2d(out), after
        self.same = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.head = nn.Conv2d(out, 5, 1)

    def forward(self, x):
        narrow = self.after(self.norm(self.narrow(self.stem(x))))
        return self.head(narrow + self.same(narrow)).mean((2, 3))


@pytest.mark.parametrize(
    ("after", "left_open"),
    [(nn.Identity(), True), (nn.Dropout(), True), (nn.ReLU6(), False), (nn.AvgPool2d(1), False), (nn.Tanh(), False)],
)
def test_what_is_a_linear_bottleneck(after, left_open):
    gated = sanp.gate(Block(after), torch.rand(2, 3, 8, 8), layers="inner")
    assert ("narrow" not in gated_layers(gated)) == left_open
    assert [row.name for row in gated.gating.skipped if "linear bottleneck" in row.reason] == ["narrow"] * left_open
    assert "stem.0" in gated_layers(gated)


def test_a_layer_that_keeps_its_width_is_none():
    assert "narrow" in gated_layers(sanp.gate(Block(nn.Identity(), out=8), torch.rand(2, 3, 8, 8), layers="inner"))


def test_a_sum_with_an_activation_behind_makes_none():
    class Activated(Block):
        def forward(self, x):
            narrow = self.norm(self.narrow(self.stem(x)))
            return self.head(torch.relu(narrow + self.same(torch.relu(narrow)))).mean((2, 3))

    assert "narrow" in gated_layers(sanp.gate(Activated(nn.Identity()), torch.rand(2, 3, 8, 8), layers="inner"))


def test_those_of_mobilenet_v2_are_its_projections():
    network, x = build("imagenet-mobilenet-v2", 10, 0.35, 3, 32), torch.rand(2, 3, 32, 32)
    gated = sanp.gate(network, x, layers="inner")
    projections = {
        name
        for name, conv in network.named_modules()
        if isinstance(conv, nn.Conv2d) and conv.groups == 1 and conv.out_channels < conv.in_channels
    }
    assert len(projections) == 17
    assert {row.name for row in gated.gating.skipped if "linear bottleneck" in row.reason} == projections
    again = sanp.gate(network, x, layers=gated.gating.options["layers"])
    assert list(gated_layers(again)) == list(gated_layers(gated))


class NormAct(nn.BatchNorm2d):
    """As timm has it: a norm with dropout and activation inside, of which either may be an identity."""

    def __init__(self, channels, act):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act

    def forward(self, x):
        return self.act(self.drop(super().forward(x)))


@pytest.mark.parametrize(("act", "left_open"), [(nn.Identity(), True), (nn.ReLU(), False)])
def test_a_norm_with_an_identity_inside_is_linear(act, left_open):
    network = Block(nn.Identity())
    network.norm = NormAct(4, act)
    gated = sanp.gate(network, torch.rand(2, 3, 8, 8), layers="inner")
    assert ("narrow" not in gated_layers(gated)) == left_open
