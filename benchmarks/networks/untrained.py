"""Gated backbones at full width that were never trained, for benchmarks of speed.

Batch norms are settled on digits and gates drawn at random, with a bias that closes about half of the channels. Speed
depends on which channels are open, not on what they mean; accuracy is not the subject.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

import sanp
from sanp import data, models
from sanp.gating import gated_layers

SAMPLES = 32


def untrained(name: str, split: data.Split) -> nn.Module:
    """A gated backbone at full width whose statistics fit the data and whose gates differ by channel and sample."""
    torch.manual_seed(0)
    network = sanp.gate(models.build(name), torch.zeros(1, 3, 32, 32), standardise=False)
    with torch.no_grad():
        for layer in gated_layers(network).values():
            layer.gate.net.fc2.weight.mul_(3.0)
            layer.gate.net.fc2.bias.normal_(mean=0.1, std=0.7)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 0.5  # a few batches settle the statistics
        network.train()
        for start in range(0, 512, 64):
            network(torch.from_numpy(split.images[start : start + 64]))
    return network.eval()


def export(name: str, path: Path, dataset: data.Dataset) -> None:
    """The untrained backbone as an ONNX model at `path`, with PyTorch's answers on digits beside it."""
    images, labels = dataset.test.images[:SAMPLES], dataset.test.labels[:SAMPLES]
    network = untrained(name, dataset.train)
    sanp.export(network, path, example_input=torch.from_numpy(images[:2]), images=images, labels=labels)
