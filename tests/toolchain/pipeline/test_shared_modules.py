"""Modules that a network calls twice, or knows under two names: each call is a layer with a name of its own."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from sanp.gating import gated_layers
from sanp.methods.registry import gate
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.same_layers import check_same_layers
from sanp_export.exporter import export
from sanp_export.graph.model_file import layers_of
from sanp_runtime import load

IMAGE = torch.randn(3, 3, 9, 9, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False), nn.BatchNorm2d(c_out)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.a, self.fc = Block(3, 8), Block(8, 8), nn.Linear(8, 4)

    def head(self, x):
        return self.fc(x.mean((2, 3)))


class Twice(Base):
    def forward(self, x):
        return self.head(self.a(self.a(self.stem(x))))


class Alias(Base):
    def __init__(self):
        super().__init__()
        self.b = self.a

    def forward(self, x):
        return self.head(self.b(self.a(self.stem(x))))


class SharedWeight(Base):
    """Two modules and one parameter: the second is not a call of the first."""

    def __init__(self):
        super().__init__()
        self.p, self.q = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.q.weight = self.p.weight

    def forward(self, x):
        return self.head(self.q(self.p(self.stem(x))))


class Scales(Base):
    """One head on two resolutions, the smaller one called first."""

    def __init__(self):
        super().__init__()
        self.p = nn.Conv2d(8, 8, 1)

    def forward(self, x):
        x = self.a(self.stem(x))
        small = self.p(nn.functional.avg_pool2d(x, 3))
        return self.head(self.p(x)) + self.head(small)


@pytest.mark.parametrize(
    ("network", "gated", "names"),
    [
        (Twice, ["stem.conv"], {"a.conv": (9, 9), "a.conv.call2": (9, 9)}),
        (Alias, ["stem.conv"], {"b.conv": (9, 9), "b.conv.call2": (9, 9)}),
        (SharedWeight, ["stem.conv"], {"q": (9, 9), "q.call2": (9, 9)}),
        (Scales, ["stem.conv", "a.conv"], {"p": (3, 3), "p.call2": (9, 9), "fc": (1, 1), "fc.call2": (1, 1)}),
    ],
)
def test_every_call_is_a_layer(network, gated, names, tmp_path):
    torch.manual_seed(0)
    model = gate(network(), IMAGE).eval()
    assert list(gated_layers(model)) == gated
    exported = export(model, IMAGE)
    layers = {row.name: row for row in layers_of(exported)}
    assert len(layers) == len(layers_of(exported)) and {name: layers[name].out_hw for name in names} == names
    check_same_layers(model, IMAGE, layers_of(exported))
    expected = model(IMAGE).detach().numpy()
    onnx.save(exported, tmp_path / "model.onnx")
    bundle = compile_model(tmp_path / "model.onnx", tmp_path / "net.sanp").bundle
    with load(bundle.path) as engine:
        np.testing.assert_allclose(engine(IMAGE.numpy()).logits, expected, atol=1e-5)
