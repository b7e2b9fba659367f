"""FBS against its definition: gates, conversion of a trained network, published costs, schedule, budget."""

from __future__ import annotations

import copy

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from sanp import models
from sanp.cost.calibration import mean_cost
from sanp.cost.channel_plan import ChannelPlan
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.data import Split
from sanp.gating import gated_layers
from sanp.gating.controls import set_density
from sanp.gating.top_k import most_open
from sanp.methods.fbs import BoostedConv, BoostGate
from sanp.methods.registry import create, gate
from sanp.methods.stage import Context, Length
from sanp.settings.train import TrainSettings
from sanp.training.batches import Batches
from sanp_export.exporter import export
from sanp_export.graph.model_file import layers_of
from sanp_runtime.network import macs as cost

X = torch.zeros(1, 3, 32, 32)


def spread(model, seed=0):
    """Batch norms and statistics that are not those of a fresh network, with scales of both signs."""
    generator = torch.Generator().manual_seed(seed)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.copy_(0.3 * torch.randn(norm.num_features, generator=generator))
        norm.running_var.copy_(0.5 + torch.rand(norm.num_features, generator=generator))
        norm.weight.data = 0.2 + torch.rand(norm.num_features, generator=generator)
        norm.weight.data[::5] *= -1
        norm.bias.data = 0.3 * torch.randn(norm.num_features, generator=generator)
    return model.eval()


def distinct(model):
    """Gates whose saliencies are positive and all different, the same for all samples: no ties."""
    for layer in gated_layers(model).values():
        nn.init.zeros_(layer.gate.fc.weight)
        layer.gate.fc.bias.data = torch.linspace(1, 2, layer.conv.out_channels)
    return model.eval()


def test_gate_equals_its_definition():
    torch.manual_seed(0)
    layer = BoostedConv(nn.Conv2d(5, 9, 3), spread(nn.BatchNorm2d(9)), density=0.5, init_std=0.5).eval()
    layer.beta.data = torch.randn(9)
    x = torch.randn(6, 5, 8, 7)
    got = layer(x).detach().double().numpy()
    magnitude = x.double().abs().mean((2, 3)).numpy()
    g = np.maximum(
        magnitude @ layer.gate.fc.weight.detach().double().numpy().T + layer.gate.fc.bias.detach().numpy(), 0
    )
    mask = g > np.sort(g, 1)[:, ::-1][:, 5:6]  # ceil(0.5 * 9) = 5 stay
    norm = layer.norm(layer.conv(x)).detach().double().numpy()
    expected = mask[..., None, None] * (g[..., None, None] * norm + layer.beta.detach().numpy()[:, None, None])
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    assert mask.sum(1).max() == 5
    assert (got[~mask] == 0).all(), "a closed channel is exactly zero, its shift included"


def test_ties_and_zeros_close():
    fbs_gate = BoostGate(2, torch.tensor([3.0, 2, 2, 2, 1, 1]), density=0.5, init_std=0.0).eval()
    assert fbs_gate(torch.ones(1, 2, 3, 3)).mask.tolist() == [[1, 0, 0, 0, 0, 0]]  # the fourth equals two before it
    fbs_gate.set_density(1.0)
    fbs_gate.fc.bias.data[1] = -1.0
    assert fbs_gate(torch.ones(1, 2, 3, 3)).mask.tolist() == [[1, 0, 1, 1, 1, 1]]


def test_gradient_reaches_open_channels_alone():
    torch.manual_seed(0)
    fbs_gate = BoostGate(4, torch.linspace(0.5, 2, 8), density=0.5, init_std=0.1)
    decision = fbs_gate(torch.randn(3, 4, 5, 5))
    decision.scale.sum().backward()
    assert torch.equal(fbs_gate.fc.bias.grad != 0, decision.mask.any(0))


@pytest.mark.parametrize("name", ["m-cifarnet", "resnet-18"])
def test_conversion_of_a_trained_network_is_exact_without_the_small_weights(name):
    torch.manual_seed(0)
    plain = spread(models.build(name, width=0.25))
    before = copy.deepcopy(plain)
    x = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        expected = plain(x)
        exact = gate(plain, X, "fbs", init_std=0.0).eval()(x)
        started = gate(plain, X, "fbs").eval()(x)
    torch.testing.assert_close(exact, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    together = torch.stack([(started - started.mean()).flatten(), (expected - expected.mean()).flatten()])
    assert torch.corrcoef(together)[0, 1] > 0.9, "with its small weights it starts near the trained network"
    assert not torch.equal(started, exact)
    assert all(torch.equal(a, b) for a, b in zip(plain.state_dict().values(), before.state_dict().values()))


@pytest.mark.parametrize(
    ("density", "million"),
    [(1.0, 174.7), (0.9, 143.2), (0.8, 113.8), (0.7, 86.9), (0.6, 64.4), (0.5, 44.3), (0.4, 29.3), (0.3, 17.0)],
)
def test_published_costs(density, million):
    model = distinct(gate(models.build("m-cifarnet"), X, "fbs", density=density))
    tracker = CostTracker(model, X)
    model(torch.randn(2, 3, 32, 32))
    counted = {
        rule: MacCounter(tracker.layers, cost.Convention(spm=rule)).sample_cost(tracker.masks())[0].item()
        for rule in ("none", "fc", "full")
    }
    assert counted["fc"] - counted["none"] == 143_552
    assert counted["full"] - counted["fc"] == 238_464
    assert counted["full"] / 1e6 == pytest.approx(million, abs=0.051)
    kept = {name: most_open(density, width) / width for name, width in tracker.widths().items()}
    assert tracker.expected(kept) == pytest.approx(counted["fc"] / tracker.dense, rel=1e-12)
    if density == 0.5:
        assert counted["full"] / 1e6 == pytest.approx(44.35, abs=0.005)


@pytest.mark.parametrize(
    ("options", "densities"),
    [
        ({"ramp": 0.5, "density_step": 0.25}, [0.75, 0.75, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
        ({"ramp": 0.5, "density_step": 0.1}, [0.8, 0.7, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5]),
        ({"schedule": "direct"}, [0.5] * 8),
        ({"ramp": 0.0}, [0.5] * 8),
    ],
)
def test_schedule(options, densities):
    method = create("fbs", options)
    model = gate(models.build("m-cifarnet", width=0.2), torch.zeros(1, 3, 16, 16), "fbs")
    context = Context(
        TrainSettings(budget=0.3), model, torch.zeros(1, 3, 16, 16), MacCounter, 1.0, iter, iter, lambda x: x
    )
    task = method.task(context, Length(8, 10))
    task.plan = ChannelPlan(0.5, {"conv4.conv": 11})
    found = []
    for epoch in range(8):
        task.before_epoch(epoch)
        found.append(next(iter(gated_layers(model).values())).gate.density)
        expected = 11 if densities[epoch] == 0.5 else most_open(densities[epoch], 26)
        assert gated_layers(model)["conv4.conv"].gate.k == expected
    assert found == pytest.approx(densities)
    noted = {name: model.gating.options[name] for name in ("density", "channels")}
    assert noted == {"density": found[-1], "channels": {"conv4.conv": 11}}, "what a checkpoint carries"
    again = gate(models.build("m-cifarnet", width=0.2), torch.zeros(1, 3, 16, 16), "fbs", **model.gating.options)
    counts = [{name: layer.gate.k for name, layer in gated_layers(net).items()} for net in (model, again)]
    assert counts[0] == counts[1]


def test_finish_meets_the_budget_as_it_is_measured():
    torch.manual_seed(0)
    example = torch.zeros(1, 3, 16, 16)
    model = gate(spread(models.build("resnet-18", width=0.2)), example, "fbs").eval()
    zeros = np.zeros(3, np.float32)
    split = Split(torch.rand(64, 3, 16, 16).numpy(), np.zeros(64, np.int64), zeros, zeros + 1)
    batches = Batches(split, torch.device("cpu"), 32)
    tracker = CostTracker(model, example)
    for budget in (0.35, 0.6):
        context = Context(TrainSettings(budget=budget), model, example, MacCounter, tracker.dense,
                          lambda most: batches.sequential(64, most), lambda most: batches.drawn(0, most),
                          lambda x: x)  # fmt: skip
        set_density(model, 1.0)
        assert create("fbs", {}).finish(context)
        measured = mean_cost(model, tracker, batches.sequential(64))
        assert budget - 0.02 < measured <= budget + 0.01


def test_export_counts_the_gate_and_reads_magnitudes_only_where_they_differ():
    torch.manual_seed(0)
    model = gate(spread(models.build("resnet-18", width=0.2)), X, "fbs", density=0.6).eval()
    x = torch.randn(4, 3, 32, 32)
    exported = export(model, x)
    with torch.no_grad():
        expected = model(x).numpy()
    got = ort.InferenceSession(exported.SerializeToString()).run(["logits"], {"input": x.numpy()})[0]
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-4 * np.abs(expected).max())
    assert [node.input[0] for node in exported.graph.node if node.op_type == "Abs"] == ["input"]
    rows = {row.name: row for row in layers_of(exported)}
    assert all(row.gate_direct and not row.gate_hidden for row in rows.values() if row.gated)
    tracked = {row.name: row for row in CostTracker(model, X).layers}
    assert {name: cost.spm_macs(row) for name, row in rows.items()} == {
        name: cost.spm_macs(row) for name, row in tracked.items()
    }
