"""Layers whose answers nobody reads: heads that only training needs, and in-place operators whose result is dropped."""

from __future__ import annotations

import operator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import sanp
from benchmarks.zoo.journey import random_gates, settle
from sanp.pipeline.reference import pytorch_answers
from sanp_runtime import load
from sanp_runtime.validate import self_test
from sanp_targets.errors import ExportError
from tests.support.structures import conv


class Auxiliary(nn.Module):
    """A head whose answer is dropped, and activations that write into their operand."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.aux = conv(3, 12), conv(12, 12, 3, 2), conv(12, 6)
        self.plain, self.relu, self.head = nn.Conv2d(12, 12, 3, padding=1), nn.ReLU(inplace=True), nn.Linear(12, 5)

    def forward(self, x):
        y = self.b(self.a(x))
        self.aux(y)
        y = self.plain(y)
        self.relu(y)
        y = y - 0.1
        F.relu_(y)
        y = y - 0.05
        F.relu(y, True)
        y = y - 0.05
        operator.imul(y, -2.0)
        return self.head(y.mean((2, 3)))


def test_they_are_counted_nowhere_and_change_nothing(tmp_path):
    torch.manual_seed(0)
    x = torch.randn(6, 3, 16, 16)
    network = Auxiliary()
    settle(network, x)
    gated = sanp.gate(network, x[:1])
    random_gates(gated)
    with torch.no_grad():
        expected = gated.eval()(x).numpy()
    made = sanp.export(gated, tmp_path / "n.onnx", example_input=x[:1], images=x.numpy())
    assert "aux.0" not in {layer.name for layer in made.layers}
    bundle = sanp.compile(tmp_path / "n.onnx", tmp_path / "n.sanp").bundle
    assert self_test(bundle).passed
    with load(bundle.path) as engine:
        np.testing.assert_allclose(engine(x.numpy()).logits, expected, rtol=1e-4, atol=1e-5)


def test_a_sum_over_the_batch_is_refused_with_samples_too(tmp_path):
    class Loss(nn.Module):
        def forward(self, x):
            return {"loss": x.sum()}

    with pytest.raises(ExportError, match=r"the output loss of Loss has shape \(\) for 3 samples"):
        pytorch_answers(Loss(), np.zeros((3, 3, 4, 4), np.float32), None)
