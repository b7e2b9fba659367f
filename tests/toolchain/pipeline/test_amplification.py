"""A network whose norm divides by next to nothing: PyTorch's own float32 is off, and no kernel is called wrong."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import sanp
from sanp.gating import gated_layers
from sanp.pipeline.compile.compile import compile_model
from sanp.pipeline.export import export
from sanp.pipeline.reference import pytorch_answers
from sanp_runtime.validate.on_device import self_test
from sanp_runtime.validate.tolerance import relative_tolerance


def network(gain):
    """Two gated layers; the second one's norm takes away what all images share and multiplies the rest by `gain`."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4),
    ).eval()  # fmt: skip
    made = sanp.gate(plain, torch.ones(1, 3, 8, 8)).eval()
    second = list(gated_layers(made).values())[1]
    seen = []
    second.conv.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    with torch.no_grad():
        made(torch.ones(1, 3, 8, 8))
        second.norm.running_mean.copy_(seen[0].mean((0, 2, 3)))
        second.norm.weight.fill_(gain)
    second.conv._forward_hooks.clear()
    return made


def exported(gain, folder, **options):
    images = 1 + np.random.default_rng(0).standard_normal((32, 3, 8, 8)).astype(np.float32) / np.float32(gain)
    gated = network(gain)
    answers = pytorch_answers(gated, images, None)
    export(gated, folder / "net.onnx", example_input=torch.from_numpy(images[:2]), images=images, **options)
    return answers, compile_model(folder / "net.onnx", folder / "net.sanp").bundle


@pytest.mark.parametrize(("gain", "amplifies"), [(1.0, False), (1e5, True)])
def test_a_network_that_amplifies_rounding_is_no_wrong_kernel(gain, amplifies, tmp_path):
    answers, bundle = exported(gain, tmp_path)
    yardstick = relative_tolerance(bundle.manifest.layers)
    assert answers.own_error > yardstick if amplifies else answers.own_error < yardstick
    report = self_test(bundle.path)
    assert report.replay.passed, report.replay.summary()
    assert bool(report.replay.amplified) is amplifies


def test_it_is_asked_in_every_size_of_the_images(tmp_path):
    """Where nobody knows PyTorch's own error, inputs one rounding away say what is allowed."""
    _, bundle = exported(1e5, tmp_path, sizes=[(8, 8), (10, 10)])
    reference = bundle.reference()
    blind = {size: dataclasses.replace(other, own_error=0.0) for size, other in reference.sizes.items()}
    path = tmp_path / "reference.npz"
    path.write_bytes(dataclasses.replace(reference, own_error=0.0, sizes=blind).dumps())
    (found,) = self_test(bundle, reference=path).sizes
    assert found.replay.passed and found.replay.amplified, found.replay.summary()


def test_a_network_that_insists_on_float32_has_no_error_of_its_own():
    class Strict(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = network(1.0)

        def forward(self, x):
            if x.dtype != torch.float32:
                raise TypeError("float32, please")
            return self.inner(x)

    assert pytorch_answers(Strict(), np.zeros((3, 3, 8, 8), np.float32), None).own_error == 0
