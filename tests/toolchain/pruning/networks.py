"""Random networks for tests of removal: residual streams, depthwise convolutions, concatenations, a flattened map."""

from __future__ import annotations

import random

import torch
from torch import nn


class Layer(nn.Module):
    """Convolution, batch norm and an activation that is not zero at zero as often as one that is."""

    def __init__(self, draw, c_in, c_out, groups=1):
        super().__init__()
        kernel = draw.choice((1, 3))
        self.conv = nn.Conv2d(c_in, c_out, kernel, padding=kernel // 2, groups=groups, bias=draw.random() < 0.5)
        self.norm = nn.BatchNorm2d(c_out)
        self.act = draw.choice((nn.ReLU(inplace=True), nn.SiLU(), nn.Sigmoid(), nn.Hardsigmoid()))

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Stream(nn.Module):
    """x + two layers of x, with a depthwise one between them now and then."""

    def __init__(self, draw, channels):
        super().__init__()
        inner = draw.randint(3, 9)
        middle = [Layer(draw, inner, inner, groups=inner)] if draw.random() < 0.5 else []
        self.rows = nn.Sequential(Layer(draw, channels, inner), *middle, Layer(draw, inner, channels))

    def forward(self, x):
        return x + self.rows(x)


class Fork(nn.Module):
    """Two layers side by side, concatenated, with a batch norm behind; as many channels as before if `same`."""

    def __init__(self, draw, channels):
        super().__init__()
        self.first, self.second = Layer(draw, channels, draw.randint(3, 7)), Layer(draw, channels, draw.randint(3, 7))
        self.out = self.first.conv.out_channels + self.second.conv.out_channels
        self.norm = nn.BatchNorm2d(self.out)

    def forward(self, x):
        return self.norm(torch.cat([self.first(x), self.second(x)], 1))


class Random(nn.Module):
    """A chain of such blocks that follows from a seed; images [N, 3, 8, 8] -> logits [N, 4]."""

    def __init__(self, seed):
        super().__init__()
        draw = random.Random(seed)
        channels = draw.randint(4, 9)
        rows = [Layer(draw, 3, channels)]
        for _ in range(draw.randint(2, 4)):
            kind = draw.choice(("layer", "stream", "fork"))
            if kind == "layer":
                wide = draw.randint(4, 9)
                rows.append(Layer(draw, channels, wide))
                channels = wide
            elif kind == "stream":
                rows.append(Stream(draw, channels))
            else:
                rows.append(Fork(draw, channels))
                channels = rows[-1].out
        self.rows = nn.Sequential(*rows)
        self.flat = draw.random() < 0.5
        self.pool = nn.MaxPool2d(2) if self.flat else nn.AdaptiveAvgPool2d(1)
        self.hidden = nn.Linear(channels * (16 if self.flat else 1), 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        return self.head(torch.relu(self.hidden(torch.flatten(self.pool(self.rows(x)), 1))))


def spread(network):
    """Weights and statistics that are all different, none zero."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                low = 0.5 if name.endswith("running_var") else -0.4
                value.copy_(torch.rand(value.shape, generator=generator) + low)
    return network.eval()
