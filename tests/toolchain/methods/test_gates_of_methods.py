"""The gates that belong to one method, against their definitions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sanp.data.batch import Batch
from sanp.gating import forward
from sanp.methods.fixed_k import TopKGate
from sanp.methods.oracle import ModeGate
from sanp.methods.random import RandomGate
from sanp.methods.static import ConstantGate
from sanp_targets.errors import ConfigError, ExportError


def trained(gate, seed=0):
    """The gate with weights and statistics that are not those of a fresh one."""
    torch.manual_seed(seed)
    for parameter in gate.parameters():
        parameter.data = torch.randn_like(parameter)
    for module in gate.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean = torch.randn_like(module.running_mean)
            module.running_var = torch.rand_like(module.running_var) + 0.1
    return gate.eval()


def test_fixed_k_count_is_exact_and_ties_close():
    gate = trained(TopKGate(3, 10, density=0.3))
    gate.net.fc2.bias.data += 50  # all saliencies positive and distinct
    assert gate.k == 3
    assert gate(torch.randn(5, 3, 4, 4)).mask.sum(1).tolist() == [3] * 5
    gate.net.fc2.weight.data.zero_()
    gate.net.fc2.bias.data = torch.tensor([5.0, 4, 4, 4, 1, 1, 1, 1, 1, 1])
    assert gate(torch.randn(1, 3, 4, 4)).mask.tolist() == [[1] + [0] * 9]  # the fourth equals the second and third
    gate.set_density(1.0)
    assert gate(torch.randn(1, 3, 4, 4)).mask.sum() == 10
    assert gate.export().k == 0


def test_static_mask_is_the_same_for_all_samples_and_exports_as_a_constant():
    gate = trained(ConstantGate(6, 20))
    decision = gate(torch.randn(7, 6, 3, 3))
    assert (decision.scale == decision.scale[0]).all()
    assert torch.equal(gate.export().scale, decision.scale[0].detach())
    assert gate.gate_hidden == 0


def test_random_gate_has_its_density_and_cannot_be_exported():
    torch.manual_seed(0)
    gate = RandomGate(3, 500, density=0.3).eval()
    assert gate(torch.zeros(40, 3, 2, 2)).mask.mean() == pytest.approx(0.3, abs=0.01)
    with pytest.raises(ExportError, match="mask"):
        gate.export()


def test_oracle_depends_on_the_mode_alone():
    gate = trained(ModeGate(3, 16, num_modes=3))
    with pytest.raises(ConfigError, match="none mode labels"):
        gate(torch.zeros(2, 3, 4, 4))
    x = torch.randn(3, 3, 4, 4)
    scale = forward(gate, Batch(x, torch.zeros(3, dtype=torch.int64), torch.tensor([0, 1, 0]))).scale
    assert torch.equal(scale[0], scale[2])
    assert not torch.equal(scale[0], scale[1])


@pytest.mark.parametrize("density", [0, 1.5])
def test_impossible_densities_are_refused(density):
    for kind in (TopKGate, RandomGate):
        with pytest.raises(ConfigError, match="density"):
            kind(3, 4, density=density)
