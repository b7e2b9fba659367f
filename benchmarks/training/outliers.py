"""A trained network that eight bits cost much: each filter gets one weight far above the rest, which is never used.

The channel that it reads is closed for good, so it never counts; but the step of a filter's bytes follows its largest
weight, and few steps are left for the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sanp.gating import gated_layers
from sanp.gating.saliency_gate import SaliencyGate

OUTLIER = 60.0  # of the weight that is never used, over the largest other one of its filter


def with_outliers(network: nn.Module, images: Tensor, outlier: float = OUTLIER) -> None:
    """Change a chain of layers with learned gates in place. images: some of the data, [N, C, H, W]."""
    layers = list(gated_layers(network).values())
    with torch.no_grad():
        network.eval()(images)
        closed = [int(layer.scale.mean(0).argmin()) for layer in layers]
        for layer, behind, channel in zip(layers, layers[1:], closed):
            assert isinstance(layer.gate, SaliencyGate)
            layer.gate.net.fc2.weight[channel] = 0
            layer.gate.net.fc2.bias[channel] = -1
            weight = behind.conv.weight
            weight[:, channel] = 0
            weight[:, channel, 0, 0] = outlier * weight.flatten(1).abs().amax(1)
