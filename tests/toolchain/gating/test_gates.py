"""The learned gate and the gated layer against their equations, written out a second time in NumPy."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sanp.gating import GatedConv, SaliencyGate
from sanp.gating.controls import set_threshold
from sanp.gating.saliency import hashed_scale, saturating_sigmoid
from sanp.methods.fixed_k import TopKGate
from sanp_export.spec import ExportsGatedConv
from sanp_targets.errors import ConfigError


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


def contract(x, spec):
    """`SanpChannelGate` of docs/operators.md without bias and mask, in float64."""
    z = x.double().numpy().mean((2, 3))
    w1, b1, w2, b2 = (t.double().numpy() for t in (spec.w1, spec.b1, spec.w2, spec.b2))
    s = np.maximum(np.maximum(z @ w1.T + b1, 0) @ w2.T + b2, 0)
    limit = np.full((len(s), 1), spec.threshold)
    if 0 < spec.k < s.shape[1]:
        limit = np.maximum(limit, np.sort(s, 1)[:, ::-1][:, spec.k : spec.k + 1])
    return s * (s > limit)


@pytest.mark.parametrize("kind", [SaliencyGate, TopKGate])
@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 0.7])
def test_export_says_what_evaluation_does(kind, standardise, threshold):
    gate = trained(kind(9, 14, standardise=standardise, threshold=threshold))
    x = torch.randn(6, 9, 5, 5)
    decision = gate(x)
    np.testing.assert_allclose(decision.scale.detach().numpy(), contract(x, gate.export()), rtol=2e-5, atol=1e-5)
    assert 0 < decision.mask.mean() < 1
    assert torch.equal(decision.mask, (decision.scale > 0).float())


def test_standardised_descriptors_equal_their_definition():
    """Batch norm of the pooled input, then the two layers, in float64 without folding."""
    gate = trained(SaliencyGate(9, 14))
    x = torch.randn(6, 9, 5, 5)
    net = gate.net
    z = (x.double().mean((2, 3)) - net.norm.running_mean) / torch.sqrt(net.norm.running_var.double() + net.norm.eps)
    hidden = torch.relu(z @ net.fc1.weight.double().T + net.fc1.bias)
    torch.testing.assert_close(
        gate(x).u, (hidden @ net.fc2.weight.double().T + net.fc2.bias).float(), rtol=1e-4, atol=1e-5
    )


def test_zero_saliency_is_closed():
    gate = trained(SaliencyGate(3, 4))
    gate.net.fc2.weight.data.zero_()
    gate.net.fc2.bias.data = torch.tensor([0.0, -1.0, 1e-6, 1.0])
    assert gate(torch.ones(1, 3, 2, 2)).mask.tolist() == [[0, 0, 1, 1]]


def test_hashed_scale_forward_and_gradient():
    """Soft and hard choices against the equations; the gradient against autograd of soft(s) * s, also at u < 0."""
    u = torch.tensor([[-1.5, 0.0, 0.5, 1.0, 3.0]], requires_grad=True)
    s = torch.relu(u.detach()).requires_grad_()
    v = saturating_sigmoid(s)
    np.testing.assert_allclose(v.detach(), np.clip(1.2 / (1 + np.exp(-s.detach().numpy())) - 0.1, 0, 1), rtol=1e-6)
    soft = hashed_scale(u, 0.0, 1.0)
    torch.testing.assert_close(soft, v * s)
    hard = hashed_scale(u, 0.0, 0.0)
    assert hard.tolist() == [[0, 0, 0.5, 1, 3]]
    slope = torch.autograd.grad(v.sum(), s)[0]
    assert slope[0, 4] == 0  # saturated: 1.2 * sigmoid(3) - 0.1 > 1
    assert torch.allclose(torch.autograd.grad(soft.sum(), u)[0], v.detach() + s.detach() * slope)
    closed_gate_is_zero = torch.tensor([[0.0, 0, 1, 1, 1]])
    assert torch.allclose(torch.autograd.grad(hard.sum(), u)[0], closed_gate_is_zero + s.detach() * slope)


def test_closed_gates_receive_a_gradient():
    u = torch.tensor([-2.0], requires_grad=True)
    hashed_scale(u, 0.0, 1.0).backward()
    assert u.grad.item() == pytest.approx(0.5)  # the soft gate at s = 0


def test_hashed_scale_mixes_halves_and_adds_noise():
    torch.manual_seed(0)
    gate = hashed_scale(torch.full((20000,), 0.3), 1.0) / 0.3
    extreme = (gate == 0) | (gate > 0.999999)
    saturated = 0.02  # P(soft gate clipped to 0 or 1) at s = 0.3 and sigma = 1
    assert extreme.float().mean() == pytest.approx(0.5, abs=0.02 + saturated)
    assert (gate[extreme] > 0.5).float().mean() == pytest.approx(0.618, abs=0.02)  # P(n > -0.3)


def test_evaluation_is_deterministic_and_training_is_not():
    gate = trained(SaliencyGate(3, 32, noise=1.0))
    x = torch.randn(4, 3, 4, 4)
    decision = gate(x)
    assert torch.equal(gate(x).scale, decision.scale)
    assert 0 < (decision.u > 0).float().mean() < 1
    assert torch.equal(decision.scale, torch.where(decision.u > 0, decision.u, 0.0)), "hard: u itself, or nothing"
    gate.train()
    first, second = gate(x), gate(x)
    assert not torch.equal(first.scale, second.scale)
    assert torch.equal(first.mask, (first.u > 0).float())


@pytest.mark.parametrize("padding", [(1, 2), "same", "valid"])
def test_gated_conv_spec_reproduces_the_layer(padding):
    torch.manual_seed(1)
    stride = 1 if padding == "same" else (2, 1)
    conv = nn.Conv2d(4, 6, (3, 2), stride=stride, padding=padding, dilation=(1, 2), groups=2)
    norm = nn.BatchNorm2d(6)
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2), norm.weight.data.normal_(), norm.bias.data.normal_()
    layer = GatedConv(conv, norm, trained(SaliencyGate(4, 6))).eval()
    assert isinstance(layer, ExportsGatedConv)
    x = torch.randn(3, 4, 7, 8)
    spec = layer.gated_conv_spec()
    top, left, bottom, right = spec.pads
    padded = nn.functional.pad(x, (left, right, top, bottom))
    y = nn.functional.conv2d(padded, spec.weight, None, spec.strides, 0, spec.dilations, spec.groups)
    scale = torch.from_numpy(contract(x, spec.gate)).float()[:, :, None, None]
    expected = scale * y + (scale * spec.bias[:, None, None])
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-5)
    assert (layer(x)[layer.mask == 0] == 0).all()


def test_layers_can_be_copied_after_a_training_step():
    layer = GatedConv(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), SaliencyGate(3, 4))
    layer(torch.randn(2, 3, 8, 8)).sum().backward()
    assert copy.deepcopy(layer).decision is None
    assert layer.mask.shape == (2, 4)


def test_threshold_reaches_every_gate():
    layer = GatedConv(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), SaliencyGate(3, 4))
    set_threshold(layer, 0.25)
    assert layer.eval().gate.export().threshold == 0.25
    assert "gate.threshold" in layer.state_dict()


@pytest.mark.parametrize("options", [{"reduction": 0}, {"noise": -1}, {"threshold": -0.1}, {"hidden_min": 0}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        SaliencyGate(3, 4, **options)


def test_protocols_ask_only_for_what_a_class_has():
    """Since Python 3.12 a protocol is compared with the class and the plain attributes of an object, not with what a
    network's `__getattr__` finds: its submodules, parameters and buffers."""
    root = Path(__file__).parents[3]
    for path in [*root.glob("toolchain/**/*.py"), *root.glob("export/**/*.py"), *root.glob("runtime/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and "runtime_checkable" in map(ast.unparse, node.decorator_list):
                data = [ast.unparse(part) for part in node.body if isinstance(part, ast.AnnAssign)]
                assert not data, f"{path.name}: {node.name} asks for {data[0]}; make it a base class"
