"""The tracker (torch.fx) and the exporter (ONNX) must give every operation the same support, and a true one.

Otherwise a network would be trained to other MACs than the ones its bundle counts. Many operations share one
network, one branch each: an export takes seconds.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sanp.cost.tracker import CostTracker
from sanp.methods.registry import gate
from sanp.pipeline.same_layers import check_same_layers
from sanp_export.exporter import export
from sanp_export.graph.model_file import layers_of
from sanp_runtime.network.support import Dense, Gate
from sanp_targets.errors import ExportError

pytestmark = pytest.mark.slow

IMAGE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
OPEN = torch.tensor([[1, 0, 0, 1, 1, 1, 0, 1.0], [1, 1, 0, 0, 1, 1, 0, 1.0]])

# Zero channels stay zero, and both sides know it.
SPARSE_MODULES = [
    nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(8), nn.ELU(), nn.SELU(), nn.CELU(), nn.CELU(2.0),
    nn.GELU(), nn.GELU(approximate="tanh"), nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Tanh(), nn.Softsign(),
    nn.Hardtanh(), nn.Hardtanh(0.0, 6.0), nn.Tanhshrink(), nn.Softshrink(), nn.Hardshrink(), nn.Threshold(0.1, 0.0),
    nn.Threshold(-0.5, 2.0), nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout(), nn.FeatureAlphaDropout(),
    nn.MaxPool2d(2), nn.MaxPool2d(3, 2, ceil_mode=True), nn.AvgPool2d(2), nn.AvgPool2d(3, 1, 1), nn.LPPool2d(2, 2),
    nn.AdaptiveAvgPool2d(4), nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(4), nn.Upsample(scale_factor=2),
    nn.UpsamplingBilinear2d(scale_factor=2), nn.ZeroPad2d(1), nn.ConstantPad2d(1, 0.0), nn.ReflectionPad2d(1),
    nn.ReplicationPad2d(1), nn.CircularPad2d(1),
]  # fmt: skip
SPARSE_CALLS = {
    "relu": F.relu, "Tensor.relu": lambda x: x.relu(), "relu6": F.relu6, "hardtanh": F.hardtanh,
    "hardtanh bounds": lambda x: F.hardtanh(x, min_val=0.0, max_val=3.0), "tanhshrink": F.tanhshrink,
    "softshrink": F.softshrink, "hardshrink": F.hardshrink, "threshold": lambda x: F.threshold(x, 0.1, 0.0),
    "threshold below": lambda x: F.threshold(x, -0.1, 2.0), "celu": F.celu, "selu": torch.selu, "softsign": F.softsign,
    "hard swish": lambda x: x * F.relu6(x + 3) / 6, "hard swish grouped": lambda x: x * (F.relu6(x + 3) / 6),
    "hard swish clamp": lambda x: x * (x + 3).clamp(0, 6) / 6, "shifted back": lambda x: (x + 2).relu() - 2,
    "swish": lambda x: x * torch.sigmoid(x), "mish": lambda x: x * torch.tanh(F.softplus(x)),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / 1.4)), "square": torch.square, "product": lambda x: x * x,
    "power": lambda x: F.relu(x) ** 2, "root": lambda x: x.relu().sqrt(), "abs": torch.abs, "negation": lambda x: -x,
    "sine": torch.sin, "arcus tangens": torch.atan, "erf": torch.erf, "sign": torch.sign, "floor": torch.floor,
    "ceil": torch.ceil, "round": torch.round, "truncation": torch.trunc, "remainder": lambda x: x % 2,
    "pad": lambda x: F.pad(x, (1, 2)), "pad six": lambda x: F.pad(x, (1, 1, 1, 1, 0, 0)),
    "pad reflect": lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"),
    "pad replicate": lambda x: F.pad(x, (1, 1, 1, 1), mode="replicate"),
    "pad circular": lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"),
    "pad one closed": lambda x: F.pad(x + 1, (1, 1), value=1.0) - 1,
    "interpolate": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "times two": lambda x: x * 2, "two times": lambda x: 2 * x, "zero minus": lambda x: 0 - x, "half": lambda x: x / 2,
    "torch.div": lambda x: torch.div(x, 2), "floor division": lambda x: torch.div(x, 2, rounding_mode="floor"),
    "quotient": lambda x: x / (x.abs() + 1), "alpha": lambda x: torch.sub(x, x.relu(), alpha=3),
    "difference": lambda x: x - x.tanh(), "channel offset": lambda x: x + x.mean((2, 3), keepdim=True),
    "squeeze and excite": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "spatial attention": lambda x: x * x.mean(1, keepdim=True).sigmoid(),
    "maximum": lambda x: torch.maximum(x, x.tanh()), "minimum": lambda x: torch.minimum(x, x.tanh()),
    "clamp": lambda x: x.clamp(-1.0, 1.0), "clamp_min": lambda x: torch.clamp_min(x, 0.0),
    "clamp above": lambda x: x.clamp(max=6), "where": lambda x: torch.where(x > 0, x, x * 0.1),
    "where zero": lambda x: torch.where(x > 0.5, x, torch.zeros_like(x)),
    "where closed": lambda x: torch.where(x >= 0, x, 1.0), "masked_fill": lambda x: x.masked_fill(x < 0, 0.0),
    "mask": lambda x: x * (x > 0).float(), "lerp": lambda x: torch.lerp(x, x.tanh(), 0.3),
    "addcmul": lambda x: torch.addcmul(x, x, x), "flip": lambda x: x.flip(3), "roll": lambda x: torch.roll(x, 1, 3),
    "rot90": lambda x: torch.rot90(x, 1, (2, 3)), "transpose": lambda x: x.transpose(2, 3),
    "permute": lambda x: x.permute(0, 1, 3, 2), "there and back": lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2),
    "whole slice": lambda x: x[:, :8, 1:, :], "crop": lambda x: x[:, :, 1:-1, ::2],
    "narrow": lambda x: x.narrow(2, 0, 8),
    "reshape": lambda x: x.flatten(2).view(-1, 8, 16, 16),
    "expand": lambda x: x.mean((2, 3), True).expand(-1, -1, 4, 4),
    "mean": lambda x: x.mean(2, keepdim=True), "amax": lambda x: x.amax((2, 3), keepdim=True),
    "max": lambda x: x.max(3, keepdim=True)[0], "sum": lambda x: x.sum((2, 3), keepdim=True),
    "lp_pool2d": lambda x: F.lp_pool2d(x, 2.0, 2), "type": lambda x: x.type(torch.float32),
}  # fmt: skip

# Zero becomes another value, or channels are mixed.
DENSE_MODULES = [
    nn.Sigmoid(), nn.Softplus(), nn.Hardsigmoid(), nn.LogSigmoid(), nn.GroupNorm(2, 8), nn.Softmax2d(),
    nn.Hardtanh(0.5, 1.0), nn.Threshold(0.1, 2.0), nn.ConstantPad2d(1, 1.0), nn.ChannelShuffle(2),
]  # fmt: skip
DENSE_CALLS = {
    "plus two": lambda x: x + 2, "two minus": lambda x: 2 - x, "cosine": torch.cos, "exp": torch.exp,
    "pad one": lambda x: F.pad(x, (1, 2), value=1.0), "lifting clamp": lambda x: x.clamp(0.5, 1.0),
    "lifting clamp_min": lambda x: torch.clamp_min(x, 1.0), "lifting hardtanh": lambda x: F.hardtanh(x, 0.1, 1.0),
    "lifting threshold": lambda x: F.threshold(x, 0.1, 2.0), "where one": lambda x: torch.where(x > 0.5, x, 1.0),
    "not negative": lambda x: (x >= 0).float(), "power zero": lambda x: x**0, "flip channels": lambda x: x.flip(1),
    "channel mean": lambda x: x + x.mean(1, keepdim=True), "channel bias": lambda x: x + torch.ones(8, 1, 1),
    "shuffle": lambda x: x.view(-1, 2, 4, 16, 16).transpose(1, 2).reshape(-1, 8, 16, 16),
    "roll channels": lambda x: torch.roll(x, 1, 1), "layer norm": lambda x: F.layer_norm(x, (8, 16, 16)) + 1,
}  # fmt: skip

# Zero channels stay zero, but neither side knows: less is skipped.
UNKNOWN = {
    "uneven pooling": nn.AdaptiveAvgPool2d(5), "instance norm": nn.InstanceNorm2d(8), "lrn": nn.LocalResponseNorm(2),
    "channel slices": lambda x: torch.cat([x[:, :4], x[:, 4:]], 1), "fmod": lambda x: torch.fmod(x, 2),
    "normalize": lambda x: F.normalize(x, dim=1), "cumsum": lambda x: x.cumsum(3),
    "std": lambda x: x.std((2, 3), keepdim=True), "rounded": lambda x: (x + 0.1) * 8 - 0.8,
}  # fmt: skip


def named(modules):
    return {repr(module): module for module in modules}


GROUPS = {
    "sparse modules": named(SPARSE_MODULES),
    "sparse calls": SPARSE_CALLS,
    "dense modules": named(DENSE_MODULES),
    "dense calls": DENSE_CALLS,
    "unknown": UNKNOWN,
}


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Branches(nn.Module):
    """One gated layer, then for each operation a gated layer that reads its result."""

    def __init__(self, operations):
        super().__init__()
        self.a, self.abn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.operations = nn.ModuleList(o if isinstance(o, nn.Module) else Call(o) for o in operations)
        self.b = nn.ModuleList(nn.Conv2d(8, 8, 1) for _ in operations)
        self.bbn = nn.ModuleList(nn.BatchNorm2d(8) for _ in operations)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = self.abn(self.a(x))
        total = 0
        for operation, conv, norm in zip(self.operations, self.b, self.bbn):
            total = total + norm(conv(operation(x))).mean((2, 3))
        return self.fc(total)


def stays_closed(network):
    """For each branch, whether the channels that are closed in `OPEN` are zero where the branch's layer reads."""
    read = {}
    hooks = [network.a.register_forward_hook(lambda module, args, y: y * OPEN[:, :, None, None])]
    for index, layer in enumerate(network.b):
        hooks.append(layer.register_forward_pre_hook(lambda module, args, index=index: read.update({index: args[0]})))
    with torch.no_grad():
        network(IMAGE)
    for hook in hooks:
        hook.remove()
    return [not (read[index].flatten(2).ne(0).any(2) & (OPEN == 0)).any() for index in range(len(network.b))]


@pytest.mark.parametrize("group", GROUPS)
def test_same_and_true_support(group):
    torch.manual_seed(0)
    names, operations = list(GROUPS[group]), list(GROUPS[group].values())
    network = gate(Branches(operations).eval(), IMAGE)
    tracked = {row.name: row.support for row in CostTracker(network, IMAGE).layers}
    exported = {row.name: row.support for row in layers_of(export(network, IMAGE))}
    expected = Gate("a") if group.startswith("sparse") else Dense(8)
    found = {name: (tracked[f"b.{i}"], exported[f"b.{i}"]) for i, name in enumerate(names)}
    assert found == dict.fromkeys(names, (expected, expected))
    truth = dict(zip(names, stays_closed(network)))
    assert truth == {name: not group.startswith("dense") for name in names}
    assert tracked == exported


class Standardised(nn.Conv2d):
    """Weight standardisation: the weights are computed, but not from the input."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / (weight.std((1, 2, 3), keepdim=True) + 1e-5), self.bias, padding=self.padding)


class Blur(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("kernel", torch.ones(8, 1, 3, 3) / 9)

    def forward(self, x):
        return F.conv2d(x, self.kernel, stride=2, padding=1, groups=8)


class Mixing(nn.Module):
    """Products with a matrix along the channels and along the pixels."""

    def __init__(self):
        super().__init__()
        self.matrix, self.other = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(8, 8))
        self.pixels = nn.Linear(256, 256)

    def forward(self, x):
        x = F.linear(x.permute(0, 2, 3, 1), self.matrix).flatten(1, 2) @ self.other
        return self.pixels(x.transpose(1, 2)).reshape(-1, 8, 16, 16)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv, self.project = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x):
        q, k, v = self.qkv(x.flatten(2).transpose(1, 2)).chunk(3, -1)
        x = self.project((q @ k.transpose(1, 2)).softmax(-1) @ v)
        return x.transpose(1, 2).reshape(-1, 8, 16, 16)


class MultiHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        return self.attention(x, x, x, need_weights=False)[0].transpose(1, 2).reshape(-1, 8, 16, 16)


class OnPixels(nn.Module):
    """A linear layer along the pixels of each channel, where the channels are on axis 1 and are not its features."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(256, 8)

    def forward(self, x):
        return self.linear(x.flatten(2)).reshape(-1, 8, 4, 2)


def layers(operation):
    torch.manual_seed(0)
    network = gate(Branches([operation]).eval(), IMAGE)
    return network, CostTracker(network, IMAGE).layers, layers_of(export(network, IMAGE))


@pytest.mark.parametrize(
    ("operation", "macs"),
    [
        (Standardised(8, 8, 3, padding=1), [16 * 16 * 8 * 8 * 9]),
        (Blur(), [8 * 8 * 8 * 9]),
        (Mixing(), [256 * 64, 256 * 64, 8 * 256 * 256]),
        (Attention(), [256 * 8 * 24, 256 * 8 * 8]),
        (MultiHead(), [256 * 8 * 24, 256 * 8 * 8]),
        (OnPixels(), [8 * 256 * 8]),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 4, 1), nn.ReLU(), nn.Conv2d(4, 8, 1)), [32, 32]),
    ],
    ids=["standardised", "blur", "mixing", "attention", "multi-head", "pixels", "squeeze"],
)
def test_layers_without_a_module_of_their_own_are_counted(operation, macs):
    network, tracked, exported = layers(operation)
    check_same_layers(network, IMAGE, exported)
    for rows in (tracked, exported):
        found = [
            row.out_hw[0] * row.out_hw[1] * row.kernel[0] * row.kernel[1] * row.c_out * row.c_in // row.groups
            for row in rows
            if not row.gated and not row.head
        ]
        assert found == macs


def test_a_head_of_two_layers_has_two_heads():
    network = Branches([nn.ReLU()])
    network.fc = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 4))
    network = gate(network.eval(), IMAGE)
    for rows in (CostTracker(network, IMAGE).layers, layers_of(export(network, IMAGE))):
        assert [row.name for row in rows if row.head] == ["fc.0", "fc.2"]


def test_an_export_that_counts_otherwise_is_refused_with_the_layer():
    network, _, exported = layers(nn.ReLU())
    with pytest.raises(ExportError, match=r"fc \(8->4 .*in PyTorch only"):
        check_same_layers(network, IMAGE, exported[:-1])
    altered = [type(row)(**{**row.__dict__, "support": Dense(row.c_in)}) for row in exported]
    with pytest.raises(ExportError, match=r"b\.0 .*in PyTorch only.*b\.0 .*in the file only"):
        check_same_layers(network, IMAGE, altered)
