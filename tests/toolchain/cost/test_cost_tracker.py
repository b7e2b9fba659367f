"""Costs of gated networks: published sparse rows, and structural support against values that are really zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from sanp import models
from sanp.cost.macs import MacCounter
from sanp.cost.tracker import CostTracker
from sanp.gating import gated_layers
from sanp.methods.registry import gate
from sanp.tracing.gated_layer import GatedLayer
from sanp_runtime.network import macs as cost
from sanp_runtime.network import support
from tests.support.torch_networks import DenseNetStyle, MobileNetV2Style, ResNet50Style, SqueezeExciteNet

X = torch.zeros(1, 3, 32, 32)


def counted(tracker, convention):
    """MACs of each sample of the last forward pass under a convention."""
    return MacCounter(tracker.layers, convention).sample_cost(tracker.masks())


@pytest.mark.parametrize(
    ("density", "million"),
    [(1.0, 174.4), (0.9, 142.9), (0.8, 113.5), (0.7, 86.6), (0.6, 64.1), (0.5, 44.0), (0.4, 29.0), (0.3, 16.7)],
)
def test_density_table_of_fbs(density, million):
    model = gate(models.build("m-cifarnet"), X, "fixed-k", density=density).eval()
    for layer in gated_layers(model).values():
        layer.gate.net.fc2.bias.data = torch.linspace(1, 2, layer.conv.out_channels)  # distinct: no ties
    tracker = CostTracker(model, X)
    model(torch.randn(2, 3, 32, 32))
    masks = {name: mask.numpy() for name, mask in tracker.masks().items()}
    alone = cost.Convention(spm="none")
    scaling = counted(tracker, cost.Convention(spm="full")) - counted(tracker, cost.Convention(spm="fc"))
    assert (scaling == 238_464).all()
    # The table rounds "conv only" with its head to 0.1; FBS's own predictor is a single FC of 143,552 MACs.
    assert (counted(tracker, alone)[0] + 143_552 + 238_464).item() / 1e6 == pytest.approx(million + 0.33, abs=0.12)
    np.testing.assert_array_equal(counted(tracker, alone).numpy(), cost.sample_macs(tracker.layers, masks, alone))


@pytest.mark.parametrize("convention", [None, cost.Convention(1, True, "full"), cost.Convention(1, False, "none")])
@pytest.mark.parametrize("build", [ResNet50Style, MobileNetV2Style, DenseNetStyle, SqueezeExciteNet])
def test_torch_and_numpy_costs_agree(build, convention, force_masks):
    model = gate(build(), X).eval()
    force_masks(model)
    tracker = CostTracker(model, X)
    model(torch.randn(5, 3, 32, 32) + 2 * torch.randn(5, 3, 1, 1))
    masks = {name: mask.numpy() for name, mask in tracker.masks().items()}
    expected = cost.sample_macs(tracker.layers, masks, convention)
    np.testing.assert_allclose(counted(tracker, convention).numpy(), expected, rtol=1e-12)
    assert len(np.unique(expected)) > 1


@pytest.mark.parametrize(
    "build",
    [ResNet50Style, MobileNetV2Style, DenseNetStyle, SqueezeExciteNet, lambda: models.build("resnet-18", width=0.2)],
)
@pytest.mark.parametrize("seed", range(3))
def test_support_covers_every_channel_that_is_not_zero(build, seed, force_masks):
    """The inputs of all layers are caught while the network runs; a channel with any value must be in the support."""
    torch.manual_seed(seed)
    model = gate(build(), X).eval()
    force_masks(model, seed, keep=0.35)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.5)
    tracker = CostTracker(model, X)
    seen = {}

    def catch(name):
        def hook(module, args):
            x = args[0]
            seen[name] = (x.flatten(2).abs().amax(2) if x.ndim == 4 else x.abs()) > 0

        return hook

    for name, module in model.named_modules():
        if isinstance(module, (GatedLayer, nn.Conv2d, nn.Linear)):
            module.register_forward_pre_hook(catch(name))
    model(torch.randn(6, 3, 32, 32) + 2 * torch.randn(6, 3, 1, 1))
    masks = {name: mask.numpy() for name, mask in tracker.masks().items()}
    sparse = 0
    for row in tracker.layers:
        active = support.evaluate(row.support, masks, lambda c: np.ones((6, c)), lambda p: np.concatenate(p, 1))
        assert active.shape == (6, row.c_in), row.name
        assert not (seen[row.name].numpy() & (active == 0)).any(), row.name
        sparse += int((active == 0).sum())
    assert sparse > 0


def test_closed_channels_cost_and_change_nothing(force_masks):
    """Deleting a channel that is closed for a sample leaves its logits as they are, and the cost says so."""
    torch.manual_seed(0)
    model = gate(models.build("m-cifarnet", width=0.25), X).eval()
    force_masks(model)
    tracker = CostTracker(model, X)
    x = torch.randn(1, 3, 32, 32)
    before = model(x)
    layers = gated_layers(model)
    for name, mask in list(tracker.masks().items()):
        closed = mask[0] == 0
        layers[name].conv.weight.data[closed] = float("nan")
        layers[name].norm.bias.data[closed] = 7.0

    class Skip(nn.Module):  # computes nothing where the gate is closed
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            y = self.layer(x)
            return torch.where(self.layer.mask[:, :, None, None] == 0, torch.zeros_like(y), y)

    for name, layer in layers.items():
        model.set_submodule(name, Skip(layer))
    torch.testing.assert_close(model(x), before)


def test_filter_weights_are_finite_differences_of_the_cost():
    model = gate(models.build("resnet-18", width=0.1), X).eval()
    tracker = CostTracker(model, X)
    shares = tracker.filter_shares()
    half = {row.name: np.full((1, row.c_out), 0.5) for row in tracker.layers if row.gated}

    def total(masks):
        value = 0.0
        for row in tracker.layers:
            active = support.evaluate(row.support, masks, lambda c: np.ones((1, c)), lambda p: np.concatenate(p, 1))
            outputs = masks[row.name].sum() if row.gated else row.c_out
            value += np.prod(row.out_hw) * np.prod(row.kernel) * active.sum() * outputs
        return value

    for name in ("conv1", "layer1.0.conv1", "layer2.0.shortcut.0", "layer4.1.conv2"):
        moved = {**half, name: half[name].copy()}
        moved[name][0, 1] += 1e-3
        expected = (total(moved) - total(half)) / 1e-3 / tracker.dense
        assert float(shares[name][1]) == pytest.approx(expected, rel=1e-4)


def test_heads_and_uncounted_operations_are_told_apart():
    assert [row.name for row in CostTracker(gate(MobileNetV2Style(), X), X).layers if row.head] == ["classifier.1"]
    assert [row.name for row in CostTracker(gate(SqueezeExciteNet(), X), X).layers if row.head] == ["head"]
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ConvTranspose2d(4, 4, 2))
    assert CostTracker(gate(net, X), X).uncounted == ("_2",)


def test_depthwise_pairs_are_counted_per_group(force_masks):
    model = gate(MobileNetV2Style(), X, share="none").eval()
    force_masks(model)
    tracker = CostTracker(model, X)
    model(torch.randn(1, 3, 32, 32))
    row = next(row for row in tracker.layers if row.name == "features.1.conv.3")
    assert row.groups == 16
    masks = tracker.masks()
    both = (masks["features.1.conv.0"] * masks["features.1.conv.3"]).sum().item()
    only = cost.sample_macs([row], {k: v.numpy() for k, v in masks.items()}, cost.Convention(spm="none"))
    assert only[0] == 16 * 16 * 9 * both


@pytest.mark.parametrize("name", ["m-cifarnet", "resnet-18", "imagenet-mobilenet-v2"])
def test_counting_together_gives_the_same_bits(name):
    """The product over all layers against the sum layer by layer; also for masks that close a layer."""
    network = gate(models.build(name, width=0.1), torch.zeros(1, 3, 32, 32))
    tracker = CostTracker(network, torch.zeros(1, 3, 32, 32))
    counter = tracker.counter
    generator = torch.Generator().manual_seed(3)
    masks = {
        row.name: (torch.rand(5, row.c_out, generator=generator) < torch.rand((), generator=generator)).float()
        for row in tracker.layers
        if row.gated
    }
    next(iter(masks.values())).zero_()
    assert counter._together is not None
    layer_by_layer = {key: mask.double() for key, mask in masks.items()}
    assert torch.equal(counter.sample_cost(masks), counter.sample_cost(layer_by_layer))
