"""Channels that decide together: in PyTorch, in the exported file, in the count of costs and in checkpoints."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from sanp import checkpoint, models
from sanp.cost.tracker import CostTracker
from sanp.gating import SaliencyGate, gated_layers
from sanp.methods.registry import gate, train_settings
from sanp.methods.static import ConstantGate
from sanp_export.exporter import export
from sanp_export.open_size import ExportOptions
from sanp_runtime.network.macs import spm_macs
from sanp_targets.errors import ConfigError

X = torch.randn(7, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def random_gates(method, group, width):
    """An untrained network whose gates differ between samples."""
    torch.manual_seed(0)
    options = {"standardise": False} if method == "sanp" else {}
    network = gate(models.build("m-cifarnet", width=width), X, method, group=group, **options)
    for layer in gated_layers(network).values():
        nn.init.normal_(layer.gate.net.fc2.weight, std=0.5)
        nn.init.normal_(layer.gate.net.fc2.bias, 0.0, 0.3)
        if method == "static":
            layer.gate.net.fc2.weight.data[0] = 0.0
            layer.gate.net.fc2.bias.data[0] = 1.0  # a layer without an open channel would end the network for all
        layer.norm.momentum = 0.5
    for _ in range(8):
        network.train()(X)  # settles the batch norms
    return network.eval()


def groups_of(values, group):
    """Columns of [N, C] by group."""
    return [values[:, start : start + group] for start in range(0, values.shape[1], group)]


@pytest.mark.parametrize("kind", [SaliencyGate, ConstantGate])
@pytest.mark.parametrize(("c_out", "group"), [(16, 4), (18, 4), (5, 8)])
@pytest.mark.parametrize("training", [False, True])
def test_a_group_has_one_saliency_one_scale_and_one_code(kind, c_out, group, training):
    """Also in training, where the noise and the choice between soft and hard are drawn once for a group."""
    torch.manual_seed(0)
    decision_of = kind(6, c_out, group=group, noise=1.0).train(training)
    nn.init.normal_(decision_of.net.fc2.weight, std=2.0)
    nn.init.normal_(decision_of.net.fc2.bias)
    decision = decision_of(torch.randn(9, 6, 4, 4))
    for values in (decision.u, decision.scale, decision.mask):
        assert values.shape == (9, c_out)
        parts = groups_of(values.detach(), group)
        assert all(torch.equal(part, part[:, :1].expand_as(part)) for part in parts)
    firsts = torch.stack([part[:, 0] for part in groups_of(decision.u.detach(), group)])
    assert len(set(firsts[:, 0].tolist())) == len(firsts) == -(-c_out // group)  # the groups themselves differ


def test_the_gradient_of_a_group_is_the_sum_over_its_channels():
    gate_of_groups = SaliencyGate(6, 10, group=4).eval()
    per_channel = torch.arange(10.0)
    gate_of_groups(torch.randn(1, 6, 4, 4)).u.backward(per_channel[None])
    assert gate_of_groups.net.fc2.bias.grad.tolist() == [0 + 1 + 2 + 3, 4 + 5 + 6 + 7, 8 + 9]


# Widths of the layers: 16, 32 and 48 at 0.25, all multiples of 4; 13, 26 and 38 at 0.2, none.
@pytest.mark.parametrize(("width", "rests"), [(0.25, {0}), (0.2, {1, 2})])
@pytest.mark.parametrize("method", ["sanp", "static"])
def test_the_exported_network_answers_and_costs_as_in_pytorch(method, width, rests):
    network = random_gates(method, 4, width)
    assert {layer.conv.out_channels % 4 for layer in gated_layers(network).values()} == rests
    tracker = CostTracker(network, X[:1])
    with torch.no_grad():
        expected = network(X).numpy()
    cost = tracker.shares() * tracker.dense
    model = export(network, X, ExportOptions(macs_output=True))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    found = dict(zip(names, session.run(None, {"input": X.numpy()}), strict=True))
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    opened = []
    for name, layer in gated_layers(network).items():
        scale = layer.scale.detach().numpy()
        actual = np.broadcast_to(found[f"gate.{name}"], scale.shape)
        assert np.isfinite(scale).all()
        np.testing.assert_array_equal(actual > 0, scale > 0, err_msg=name)
        np.testing.assert_allclose(actual, scale, rtol=1e-4, atol=1e-4 * scale.max())
        opened.append((actual > 0).mean())
    assert 0.1 < np.mean(opened) < 0.9 and np.ptp(expected, axis=0).max() > 0
    np.testing.assert_allclose(np.broadcast_to(found["macs"], (7,)), np.broadcast_to(cost.numpy(), (7,)), rtol=1e-6)


def test_a_gate_of_groups_is_counted_as_the_device_computes_it():
    """With one output of its second layer per channel, like any other gate."""
    rows = {
        group: [spm_macs(row) for row in CostTracker(random_gates("sanp", group, 0.2), X[:1]).layers]
        for group in (1, 8)
    }
    assert rows[1] == rows[8] and sum(rows[8]) > 0


def test_the_whole_layer_can_be_one_group():
    network = random_gates("sanp", 256, 0.1)
    network(X)
    for layer in gated_layers(network).values():
        assert layer.gate.net.fc2.out_features == 1
        assert set(layer.mask.mean(1).tolist()) <= {0.0, 1.0}


def test_a_checkpoint_rebuilds_the_groups(tmp_path):
    network, path = random_gates("sanp", 4, 0.2), tmp_path / "groups.safetensors"
    config = train_settings(width=0.2, image_size=16, group=4, standardise=False)
    checkpoint.save(path, network, config)
    found = checkpoint.load(path).model
    assert torch.equal(found(X), network(X))
    assert found.gating.options["group"] == 4
    assert all(layer.gate.net.fc2.out_features < layer.conv.out_channels for layer in gated_layers(found).values())


@pytest.mark.parametrize("group", [0, -4, 257, "four"])
def test_impossible_groups_are_refused(group):
    with pytest.raises(ConfigError, match="group"):
        train_settings(group=group)


@pytest.mark.parametrize("method", ["fixed-k", "fbs", "random", "channel-gating"])
def test_methods_without_groups_say_so(method):
    with pytest.raises(ConfigError, match="no setting 'group'"):
        train_settings(method=method, group=4)


def test_a_gate_needs_at_least_one_channel_per_group():
    with pytest.raises(ConfigError, match="group=0"):
        SaliencyGate(3, 4, group=0)
