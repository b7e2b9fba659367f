"""A small YOLO-like detector: a backbone, a neck that goes up and concatenates, and a head on each of three maps."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class ConvBlock(nn.Module):
    """Convolution, batch norm, SiLU."""

    def __init__(self, c_in, c_out, kernel=3, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
        self.norm, self.act = nn.BatchNorm2d(c_out, eps=1e-3), nn.SiLU()

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class CrossStage(nn.Module):
    """A split of the channels: one half passes bottlenecks, and everything is concatenated."""

    def __init__(self, channels, count=1):
        super().__init__()
        half = channels // 2
        self.cv1, self.cv2 = ConvBlock(channels, channels, 1), ConvBlock((2 + count) * half, channels, 1)
        self.blocks = nn.ModuleList(nn.Sequential(ConvBlock(half, half), ConvBlock(half, half)) for _ in range(count))

    def forward(self, x):
        parts = list(self.cv1(x).chunk(2, 1))
        for block in self.blocks:
            parts.append(parts[-1] + block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class PooledPyramid(nn.Module):
    """Three poolings in a row, concatenated."""

    def __init__(self, channels):
        super().__init__()
        self.cv1, self.cv2 = ConvBlock(channels, channels // 2, 1), ConvBlock(2 * channels, channels, 1)

    def forward(self, x):
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(F.max_pool2d(parts[-1], 5, 1, 2))
        return self.cv2(torch.cat(parts, 1))


class SmallDetector(nn.Module):
    """Images [N, 3, H, W], H and W multiples of 32, to {"small", "medium", "large"}: [N, 5 + classes, H/s, W/s] each,
    s = 8, 16, 32: the distances of a box, whether there is something, and the classes, all without an activation.
    """

    def __init__(self, num_classes=4, width=8):
        super().__init__()
        a, b, c, d = width, 2 * width, 4 * width, 8 * width
        self.stem = nn.Sequential(ConvBlock(3, a, 3, 2), ConvBlock(a, b, 3, 2), CrossStage(b))
        self.stage3 = nn.Sequential(ConvBlock(b, c, 3, 2), CrossStage(c, 2))
        self.stage4 = nn.Sequential(ConvBlock(c, d, 3, 2), CrossStage(d))
        self.stage5 = nn.Sequential(ConvBlock(d, d, 3, 2), CrossStage(d), PooledPyramid(d))
        self.up4, self.up3 = nn.Sequential(ConvBlock(2 * d, d, 1), CrossStage(d)), ConvBlock(c + d, c, 1)
        self.down4, self.down5 = ConvBlock(c, c, 3, 2), ConvBlock(d, d, 3, 2)
        self.out4, self.out5 = ConvBlock(c + d, d, 1), CrossStage(2 * d)
        self.heads = nn.ModuleDict(
            {
                name: nn.Sequential(ConvBlock(channels, c), nn.Conv2d(c, 5 + num_classes, 1))
                for name, channels in (("small", c), ("medium", d), ("large", 2 * d))
            }
        )

    def forward(self, x):
        p3 = self.stage3(self.stem(x))
        p4 = self.stage4(p3)
        p5 = self.stage5(p4)
        n4 = self.up4(torch.cat([F.interpolate(p5, scale_factor=2.0), p4], 1))
        n3 = self.up3(torch.cat([F.interpolate(n4, scale_factor=2.0), p3], 1))
        n4 = self.out4(torch.cat([self.down4(n3), n4], 1))
        n5 = self.out5(torch.cat([self.down5(n4), p5], 1))
        return {name: self.heads[name](map_) for name, map_ in (("small", n3), ("medium", n4), ("large", n5))}
