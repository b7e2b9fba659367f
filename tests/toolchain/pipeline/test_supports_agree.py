"""The tracker (torch.fx) and the exporter (ONNX) must give every operation the same support.

Otherwise a network would be trained to other MACs than the ones its bundle counts.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sanp.cost.tracker import CostTracker
from sanp.methods.registry import gate
from sanp_export.exporter import export
from sanp_export.graph.model_file import layers_of

IMAGE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))

MODULES = [
    nn.Identity(), nn.ReLU(), nn.ReLU6(), nn.LeakyReLU(), nn.PReLU(8), nn.ELU(), nn.SELU(), nn.CELU(), nn.GELU(),
    nn.SiLU(), nn.Mish(), nn.Hardswish(), nn.Tanh(), nn.Softsign(), nn.Dropout(), nn.MaxPool2d(2), nn.AvgPool2d(2),
    nn.AdaptiveAvgPool2d(4), nn.Upsample(scale_factor=2), nn.ZeroPad2d(1), nn.Sigmoid(), nn.Softplus(),
    nn.GroupNorm(2, 8),
]  # fmt: skip

CALLS = {
    "relu6": F.relu6,
    "pad zero": lambda x: F.pad(x, (1, 2)),
    "pad one": lambda x: F.pad(x, (1, 2), value=1.0),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "times two": lambda x: x * 2,
    "plus two": lambda x: x + 2,
    "half": lambda x: x / 2,
    "difference": lambda x: x - x.tanh(),
    "squeeze and excite": lambda x: x * x.mean((2, 3), keepdim=True).sigmoid(),
    "clamp": lambda x: x.clamp(-1.0, 1.0),
    "lifting clamp": lambda x: x.clamp(0.5, 1.0),
    "flip": lambda x: x.flip(1),
    "cat": lambda x: torch.cat([x, x.relu()], 1)[:, :8],
}


class Net(nn.Module):
    def __init__(self, operation):
        super().__init__()
        self.a, self.abn = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.operation = operation
        self.b, self.bbn = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8, 4)

    def forward(self, x):
        x = self.operation(self.abn(self.a(x)))
        return self.fc(self.bbn(self.b(x)).relu().mean((2, 3)))


def cases():
    yield from ((type(module).__name__, module) for module in MODULES)
    yield from CALLS.items()


@pytest.mark.parametrize(("name", "operation"), list(cases()), ids=[name for name, _ in cases()])
def test_same_support(name, operation):
    torch.manual_seed(0)
    network = gate(Net(operation).eval(), IMAGE)
    tracked = {row.name: row.support for row in CostTracker(network, IMAGE).layers}
    exported = {row.name: row.support for row in layers_of(export(network, IMAGE))}
    assert tracked == exported
