"""Networks that are easy to gate wrongly: several names for one module, hooks, parameters read directly."""

import pytest
import torch
from torch import nn

from sanp.gating import GatedConv, gated_layers
from sanp.methods.registry import gate
from sanp_targets.errors import ConfigError

IMAGE = torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)

    def forward(self, x):
        return self.bn(self.conv(x)).relu().mean((2, 3))


class AliasedConv(Pair):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList([self.conv])

    def forward(self, x):
        return self.bn(self.convs[0](x)).relu().mean((2, 3))


class AliasedBlock(Pair):
    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(self.conv, self.bn)

    def forward(self, x):
        return self.block(x).relu().mean((2, 3))


@pytest.mark.parametrize("network", [AliasedConv, AliasedBlock])
def test_every_name_of_a_module_is_replaced(network):
    torch.manual_seed(0)
    gated = gate(network(), IMAGE).eval()
    gated(IMAGE)
    assert len(gated_layers(gated)) == 1
    assert all(layer.decision is not None for layer in gated_layers(gated).values()), "the gate really ran"
    plain = [m for m in gated.modules() if type(m) is nn.BatchNorm2d]
    assert all(any(m is layer.norm for layer in gated_layers(gated).values()) for m in plain)


@pytest.mark.parametrize("name", ["conv", "bn"])
def test_hooked_modules_are_left_alone(name):
    network = Pair()
    getattr(network, name).register_forward_hook(lambda module, inputs, output: output * 2)
    with pytest.raises(ConfigError, match="forward hooks"):
        gate(network, IMAGE)


def test_modules_whose_parameters_are_read_are_left_alone():
    class Reading(Pair):
        def forward(self, x):
            return super().forward(x) + self.conv.weight.mean()

    with pytest.raises(ConfigError, match="reads its parameters"):
        gate(Reading(), IMAGE)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_weight_norm_is_named():
    network = Pair()
    nn.utils.weight_norm(network.conv)
    network(IMAGE)
    with pytest.raises(ConfigError, match="weight norm"):
        gate(network, IMAGE)


def test_gating_keeps_the_type_of_each_place():
    gated = gate(AliasedBlock(), IMAGE)
    assert isinstance(gated.conv, GatedConv) and gated.block[0] is gated.conv
    assert isinstance(gated.block[1], nn.Identity)
