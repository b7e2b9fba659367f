"""Channel gating against its equations: both ends of the threshold, gradients by hand, what it costs, export."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sanp import models
from sanp.cost.tracker import CostTracker
from sanp.gating.pixel_gated_conv import PixelGatedConv, obstacle
from sanp.methods.registry import gate
from sanp_export.exporter import export
from sanp_export.graph.model_file import layers_of
from sanp_export.tensorrt import TensorrtOptions, convert
from sanp_runtime.network.macs import dense_macs
from sanp_targets.errors import ConfigError

X = torch.zeros(1, 3, 32, 32)


def make(c_in=8, c_out=12, parts=4, shuffle=True, seed=0, bias=False, sparse=True, **conv):
    torch.manual_seed(seed)
    layer = PixelGatedConv(
        nn.Conv2d(c_in, c_out, 3, bias=bias, **conv), nn.BatchNorm2d(c_out), parts=parts, shuffle=shuffle, alpha=2.0,
        sparse_backward=sparse,
    )  # fmt: skip
    for norm in (layer.norm, layer.norm0):
        nn.init.uniform_(norm.running_mean, -0.3, 0.3)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    nn.init.normal_(layer.norm.weight)
    nn.init.normal_(layer.norm.bias)
    nn.init.normal_(layer.delta, std=0.3)
    return layer.eval()


def masked_base(layer, x):
    """The short path as a convolution whose weights outside of their group are zero, input by input."""
    conv, p = layer.conv, layer.parts
    c_out, c_in = conv.weight.shape[:2]
    mask = torch.zeros(c_out, c_in)
    for o in range(c_out):
        for i in range(c_in):
            group = i % p if layer.shuffle else i // (c_in // p)
            mask[o, i] = group == o // (c_out // p)
    assert (mask.sum(0) == c_out / p).all() and (mask.sum(1) == c_in / p).all()
    return F.conv2d(x, conv.weight * mask[:, :, None, None], None, conv.stride, conv.padding, conv.dilation)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("parts", [2, 4])
def test_short_path_is_block_diagonal(parts, shuffle):
    layer = make(parts=parts, shuffle=shuffle, padding=1)
    x = torch.randn(2, 8, 7, 9)
    torch.testing.assert_close(layer.base(x), masked_base(layer, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bias", [False, True])
def test_both_ends_of_the_threshold(bias):
    layer = make(bias=bias, padding=1, stride=2)
    x = torch.randn(2, 8, 9, 9)
    layer.offset.fill_(-1e6)
    torch.testing.assert_close(layer(x), layer.norm(layer.conv(x)), rtol=1e-5, atol=1e-5)
    assert (layer.open == 1).all()
    layer.offset.fill_(1e6)
    short = masked_base(layer, x) + (layer.conv.bias[:, None, None] if bias else 0)
    torch.testing.assert_close(layer(x), layer.norm(short), rtol=1e-5, atol=1e-5)
    assert (layer.open == 0).all()


def test_pixels_are_chosen_one_by_one():
    layer = make()
    x = torch.randn(3, 8, 9, 9)
    base = masked_base(layer, x)
    normal = (base - layer.norm0.running_mean[:, None, None]) / (layer.norm0.running_var + layer.norm0.eps).sqrt()[
        :, None, None
    ]
    opened = normal > layer.delta[:, None, None]
    expected = layer.norm(torch.where(opened, layer.conv(x), base))
    torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(layer.open, opened.float().mean((2, 3)))
    assert 0.2 < opened.float().mean() < 0.8


@pytest.mark.parametrize("sparse", [True, False])
def test_gradients_by_hand(sparse):
    """Threshold, weights and input, from out = base + d (whole - base) with d' = alpha sigmoid'(alpha z) [d]."""
    layer = make(sparse=sparse, padding=1).double()
    layer.norm = nn.Identity()
    x = torch.randn(2, 8, 5, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, 12, 5, 5, dtype=torch.float64)
    layer(x).backward(upstream)
    with torch.no_grad():
        base, whole = masked_base(layer, x), layer.conv(x)
        deviation = (layer.norm0.running_var + layer.norm0.eps).sqrt()[:, None, None]
        z = (base - layer.norm0.running_mean[:, None, None]) / deviation - layer.delta[:, None, None]
        opened = (z > 0).double()
        sigmoid = torch.sigmoid(2.0 * z)
        slope = 2.0 * sigmoid * (1 - sigmoid) * (opened if sparse else 1)
        to_z = upstream * (whole - base) * slope
        to_base, to_whole = upstream * (1 - opened) + to_z / deviation, upstream * opened
    torch.testing.assert_close(layer.delta.grad, -to_z.sum((0, 2, 3)))
    weight = layer.conv.weight.detach().requires_grad_(True)
    again = x.detach().requires_grad_(True)
    conv = nn.Conv2d(8, 12, 3, padding=1, bias=False).double()
    short = make(padding=1).double()
    with torch.no_grad():
        conv.weight.copy_(weight)
        short.conv.weight.copy_(weight)
    conv(again).backward(to_whole)
    masked_base(short, again).backward(to_base)
    torch.testing.assert_close(layer.conv.weight.grad, conv.weight.grad + short.conv.weight.grad)
    torch.testing.assert_close(x.grad, again.grad)


def test_cost_of_every_sample():
    torch.manual_seed(0)
    model = gate(models.build("resnet-18", width=0.25), X, "channel-gating").eval()
    for layer in (m for m in model.modules() if isinstance(m, PixelGatedConv)):
        nn.init.normal_(layer.delta)
    tracker = CostTracker(model, X)
    model(torch.randn(3, 3, 32, 32))
    rows = {row.name: dense_macs((row,)) for row in tracker.layers}
    expected = np.zeros(3)
    for name, macs in rows.items():
        layer = model.get_submodule(name)
        opened = layer.open.mean(1).numpy() if isinstance(layer, PixelGatedConv) else 1.0
        expected += macs * (0.25 + 0.75 * opened)
    np.testing.assert_allclose((tracker.shares() * tracker.dense).numpy(), expected, rtol=1e-6)
    assert len(set(expected)) == 3
    gated = sum(macs for name, macs in rows.items() if isinstance(model.get_submodule(name), PixelGatedConv))
    assert tracker.floor() == pytest.approx(1 - 0.75 * gated / sum(rows.values()))
    assert tracker.uniform(0.4) == pytest.approx(1 - 0.75 * 0.6 * gated / sum(rows.values()))
    assert [row.name for row in model.gating.skipped] == ["stem.conv"] or model.gating.skipped[0].reason


def test_convolutions_without_a_short_path_are_left_alone():
    assert "multiple of 4" in (obstacle(nn.Conv2d(3, 8, 3), 4) or "")
    assert "groups" in (obstacle(nn.Conv2d(8, 8, 3, groups=2), 4) or "")
    with pytest.raises(ConfigError, match="no layer to gate"):
        gate(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)), X, "channel-gating")


def exported():
    torch.manual_seed(1)
    model = gate(models.build("m-cifarnet", width=0.25), X, "channel-gating").eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_var, 0.05, 0.3)
        if isinstance(module, PixelGatedConv):
            nn.init.normal_(module.norm.weight)
            nn.init.normal_(module.delta, std=0.3)
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        expected = model(x).numpy()
    return model, x, expected, export(model, x)


def test_export_runs_anywhere():
    model, x, expected, proto = exported()
    onnx.checker.check_model(proto, full_check=True)
    found = ort.InferenceSession(proto.SerializeToString()).run(["logits"], {"input": x.numpy()})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    ours = [node for node in proto.graph.node if node.domain == "sanp"]
    assert {node.op_type for node in ours} == {"SanpPixelGatedConv"} and len(ours) == 7
    assert 0.1 < np.mean([m.open.mean() for m in model.modules() if isinstance(m, PixelGatedConv)]) < 0.9
    assert [row.name for row in layers_of(proto)] == [row.name for row in CostTracker(model, X).layers]


def test_tensorrt_copy_has_standard_operators_alone():
    _, x, expected, proto = exported()
    copy = convert(proto, TensorrtOptions())
    assert {node.domain for node in copy.graph.node} == {""} and not copy.functions
    found = ort.InferenceSession(copy.SerializeToString()).run(["logits"], {"input": x.numpy()})[0]
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
