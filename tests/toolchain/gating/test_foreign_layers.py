"""Norms, wrappers and types as networks of other people have them."""

from __future__ import annotations

import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune
from torch.optim.swa_utils import AveragedModel

import sanp
from sanp.gating import gated_layers
from sanp.gating.norms import FrozenNorm
from sanp.methods.registry import gate
from sanp.training.recalibration import recalibrate
from sanp_targets.errors import ConfigError

X = torch.zeros(1, 3, 16, 16)


class NormAct(nn.BatchNorm2d):
    """A batch norm that ends in an activation, as some libraries write it."""

    def __init__(self, channels):
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), nn.ReLU(inplace=True)

    def forward(self, x):
        y = F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.eps
        )
        return self.act(self.drop(y))


class HiddenScale(NormAct):
    """One that does more than its modules say."""

    def forward(self, x):
        return 2 * super().forward(x)


class Frozen(nn.Module):
    """Batch norm with buffers alone, as in detectors."""

    def __init__(self, channels, eps=1e-3):
        super().__init__()
        self.eps = eps
        for name, value in (("weight", 1.3), ("bias", 0.2), ("running_mean", 0.1), ("running_var", 2.0)):
            self.register_buffer(name, torch.full((channels,), value))

    def forward(self, x):
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]


class Net(nn.Module):
    """Two convolutions with the given norm; the shortcut keeps the support of both."""

    def __init__(self, norm, act=True):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(3, 8, 3, padding=1, bias=False), norm(8)
        self.conv2, self.norm2 = nn.Conv2d(8, 8, 3, padding=1), norm(8)
        self.fc, self.act = nn.Linear(8, 5), nn.ReLU() if act else nn.Identity()

    def forward(self, x):
        x = self.act(self.norm1(self.conv1(x)))
        return self.fc((x + self.act(self.norm2(self.conv2(x)))).mean((2, 3)))


class PreActivation(nn.Module):
    """norm, ReLU, convolution: what a convolution feeds is read by a shortcut too."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.bn1, self.conv1 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.bn3, self.fc = nn.BatchNorm2d(16), nn.Linear(16, 5)

    def forward(self, x):
        x = self.stem(x)
        y = self.conv2(torch.relu(self.bn2(self.conv1(torch.relu(self.bn1(x))))))
        return self.fc(torch.relu(self.bn3(torch.cat([x, y], 1))).mean((2, 3)))


def spread(network, seed=1):
    """Statistics and gates that are not the initial ones; about half of the gates open."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d) and not isinstance(module, FrozenNorm):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    for layer in gated_layers(network).values():
        layer.gate.net.fc2.bias.data.normal_(0.2, 1, generator=generator)
        if layer.gate.net.norm is not None:
            layer.gate.net.norm.running_var.fill_(1.0)
    return network.eval()


def open_all(network):
    for layer in gated_layers(network).values():
        layer.gate.net.fc2.weight.data.zero_()
        layer.gate.net.fc2.bias.data.fill_(1.0)


CASES = {
    "norm with activation": (lambda: Net(NormAct, act=False), ("conv1", "conv2")),
    "synchronised": (lambda: Net(nn.SyncBatchNorm), ("conv1", "conv2")),
    "frozen": (lambda: Net(Frozen), ("conv1", "conv2")),
    "no norm": (lambda: Net(lambda _: nn.Identity()), ("conv1", "conv2")),
    "pre-activation": (PreActivation, ("stem", "conv1", "conv2")),
}


@pytest.mark.parametrize("name", CASES)
def test_gated_open_and_exported(name, tmp_path):
    build, expected = CASES[name]
    torch.manual_seed(0)
    plain = build().eval()
    if name != "synchronised":
        spread(plain)
    gated = gate(plain, X)
    assert gated.gating.gated == expected
    x = torch.randn(4, 3, 16, 16)
    open_all(gated)
    reference = nn.SyncBatchNorm if name == "synchronised" else None
    torch.testing.assert_close(gated.eval()(x), plain(x), rtol=1e-4, atol=1e-5)
    assert reference is None or not any(isinstance(module, reference) for module in gated.modules())
    spread(gated)
    masks = gated(x) is not None and [layer.mask.mean() for layer in gated_layers(gated).values()]
    assert any(0 < share < 1 for share in masks)
    sanp.export(gated, tmp_path / "net.onnx", example_input=X)
    found = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(["logits"], {"input": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), gated(x), rtol=1e-3, atol=1e-4)


def test_a_norm_that_does_more_than_its_modules_is_left_alone():
    gated = gate(nn.Sequential(nn.Conv2d(3, 4, 3), HiddenScale(4), nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)), X)
    assert gated.gating.gated == ("2",)
    assert "HiddenScale" in gated.gating.skipped[0].reason


def test_a_frozen_norm_stays_frozen():
    gated = gate(Net(Frozen), X).train()
    norm = gated.conv1.norm
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    gated(torch.randn(4, 3, 16, 16)).sum().backward()
    recalibrate(gated, [])
    assert not list(norm.parameters()) and set(before) >= {"weight", "bias", "running_mean", "running_var"}
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


@pytest.mark.parametrize(("norm", "word"), [
    (lambda c: nn.GroupNorm(2, c), "GroupNorm"), (nn.InstanceNorm2d, "InstanceNorm2d"),
])  # fmt: skip
def test_other_norms_are_told(norm, word):
    with pytest.raises(ConfigError, match=f"{word}, which mixes or rescales channels"):
        gate(Net(norm), X)


class ChannelNorm(nn.LayerNorm):
    """A layer norm over the channels of a map, as ConvNeXt has it."""

    def forward(self, x):
        return F.layer_norm(x.permute(0, 2, 3, 1), self.normalized_shape, self.weight, self.bias).permute(0, 3, 1, 2)


def test_a_layer_norm_behind_a_permutation_is_one():
    """A block of ConvNeXt: the depthwise convolution stays, the first layer behind the norm is gated."""
    block = [
        nn.Conv2d(8, 8, 7, padding=3, groups=8),
        ChannelNorm(8),
        nn.Conv2d(8, 16, 1),
        nn.GELU(),
        nn.Conv2d(16, 8, 1),
    ]
    report = gate(nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), *block, nn.ReLU(), nn.Conv2d(8, 2, 1)), X).gating
    assert report.gated == ("0", "4", "6")
    assert "group or layer norm" in {row.name: row.reason for row in report.skipped}["2"]


class AsksForShapes(nn.Module):
    """Control flow that depends on shapes, types and places, and parts of a split tensor in a list."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Linear(8 * 9, 5)

    def forward(self, x):
        x = torch.relu(self.norm(self.conv(x)))
        if x.shape[-1] > 8 and x.size(2) > 8 and x.dim() == 4:
            x = F.adaptive_avg_pool2d(x, 3)
        for _ in range(x.ndim - 3):
            x = x * 1.0
        if x.dtype in (torch.float16, torch.bfloat16):
            x = x.float()
        with torch.autocast(device_type=x.device.type, enabled=False):
            parts = list(x.chunk(2, 1))
            parts.append(parts[-1] * 2 if len(x.split(4, 1)) == 2 else parts[0])
        return self.fc(torch.cat(parts[1:], 1).flatten(1))


def test_control_flow_that_depends_on_shapes(tmp_path):
    torch.manual_seed(0)
    gated = gate(AsksForShapes(), X)
    assert gated.gating.gated == ("conv",)
    x = torch.randn(4, 3, 16, 16)
    spread(gated)
    sanp.export(gated, tmp_path / "net.onnx", example_input=X)
    found = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(["logits"], {"input": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), gated(x), rtol=1e-3, atol=1e-4)


def test_heads_and_squeezed_maps_stay():
    class Detector(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
            self.reduce, self.expand = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
            self.head = nn.Conv2d(8, 6, 1)

        def forward(self, x):
            x = torch.relu(self.norm(self.body(x)))
            x = x * torch.sigmoid(self.expand(torch.relu(self.reduce(x.mean((2, 3), keepdim=True)))))
            return torch.sigmoid(self.head(x)).flatten(2)

    reasons = {row.name: row.reason for row in gate(Detector(), X).gating.skipped}
    assert set(reasons) == {"reduce", "expand", "head"}
    assert "one pixel" in reasons["reduce"] and "output of the network" in reasons["head"]


@pytest.mark.parametrize("wrap", [
    nn.DataParallel, torch.compile, AveragedModel, lambda net: nn.DataParallel(torch.compile(net)),
])  # fmt: skip
def test_wrappers_are_taken_off(wrap):
    torch.manual_seed(0)
    net = Net(nn.BatchNorm2d)
    assert gate(wrap(net), X).gating.gated == ("conv1", "conv2")


def scripted(net):
    return torch.jit.trace(net.eval(), X)


def pruned(net):
    prune.l1_unstructured(net.conv1, "weight", 0.5)
    return net


def weight_normed(net):
    nn.utils.weight_norm(net.conv2)
    return net


def parametrised(net):
    parametrizations.weight_norm(net.conv2)
    return net


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "says"), [
    (scripted, "pass that one, before torch.jit"),
    (pruned, r"conv1 is pruned.*torch.nn.utils.prune.remove\("),
    (weight_normed, r"conv2 has old-style weight norm.*torch.nn.utils.remove_weight_norm\("),
    (parametrised, r"conv2 has parametrised weights.*remove_parametrizations\("),
])  # fmt: skip
def test_what_has_to_be_removed_first_is_named(make, says):
    with pytest.raises(ConfigError, match=says):
        gate(make(Net(nn.BatchNorm2d)), X)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_type_and_any_surroundings_give_float32(dtype, tmp_path):
    torch.manual_seed(0)
    net = Net(nn.BatchNorm2d).to(dtype)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", torch.bfloat16):
            gated = gate(net, X.to(dtype))
            sanp.export(gated, tmp_path / "net.onnx", example_input=X.to(dtype))
        assert torch.get_default_dtype() is torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert {value.dtype for value in gated.state_dict().values() if value.is_floating_point()} == {torch.float32}
    assert net.conv1.weight.dtype is dtype
    x = torch.randn(2, 3, 16, 16)
    found = onnxruntime.InferenceSession(tmp_path / "net.onnx").run(["logits"], {"input": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), gated.eval()(x), rtol=1e-3, atol=1e-4)
