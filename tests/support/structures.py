"""Fifteen small networks of as many structures: what the networks of the zoo are made of, one idea each.

All take images [N, 3, 32, 32].
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def conv(c_in, c_out, kernel=3, stride=1, groups=1, act=nn.ReLU):
    """Convolution, batch norm, activation."""
    layers = [nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(c_out)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Classifier(nn.Module):
    """A stem, a body [N, 16, 16, 16] -> [N, channels, H, W], pooling and a linear layer."""

    def __init__(self, body, channels, act=nn.ReLU):
        super().__init__()
        self.stem, self.body, self.head = conv(3, 16, 3, 2, act=act), body, nn.Linear(channels, 5)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


class Ghost(nn.Module):
    """Half of the maps are made from the other half by a depthwise convolution (GhostNet)."""

    def __init__(self, c_in, c_out):
        super().__init__()
        self.primary, self.cheap = conv(c_in, c_out // 2, 1), conv(c_out // 2, c_out // 2, 3, groups=c_out // 2)

    def forward(self, x):
        x = self.primary(x)
        return torch.cat([x, self.cheap(x)], dim=1)


class Shuffle(nn.Module):
    """Half of the channels pass through, then all are shuffled (ShuffleNetV2)."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            conv(half, half, 1), conv(half, half, 3, groups=half, act=None), conv(half, half, 1)
        )

    def forward(self, x):
        left, right = x.chunk(2, dim=1)
        x = torch.cat([left, self.branch(right)], 1)
        n, c, h, w = x.shape
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class SqueezeExcite(nn.Module):
    """Expansion, depthwise, squeeze and excite with a hard sigmoid, projection (MobileNetV3)."""

    def __init__(self, channels, inner):
        super().__init__()
        self.expand, self.deep = (
            conv(channels, inner, 1, act=nn.Hardswish),
            conv(inner, inner, 5, 1, inner, nn.Hardswish),
        )
        self.squeeze, self.excite = nn.Conv2d(inner, 8, 1), nn.Conv2d(8, inner, 1)
        self.project = conv(inner, channels, 1, act=None)

    def forward(self, x):
        y = self.deep(self.expand(x))
        s = F.adaptive_avg_pool2d(y, 1)
        y = y * F.hardsigmoid(self.excite(F.relu(self.squeeze(s))))
        return x + self.project(y)


class Reparameterised(nn.Module):
    """3x3, 1x1 and a batch norm alone, added (RepVGG before it is fused)."""

    def __init__(self, channels):
        super().__init__()
        self.wide, self.narrow = conv(channels, channels, 3, act=None), conv(channels, channels, 1, act=None)
        self.identity = nn.BatchNorm2d(channels)

    def forward(self, x):
        return F.relu(self.wide(x) + self.narrow(x) + self.identity(x))


class PreActivation(nn.Module):
    """Norm, ReLU, convolution, with a shortcut around two of them (PreResNet)."""

    def __init__(self, channels):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(channels), nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, x):
        return x + self.conv2(F.relu(self.bn2(self.conv1(F.relu(self.bn1(x))))))


class DensePreActivation(nn.Module):
    """Norm, ReLU, convolution on everything so far, concatenated (DenseNet)."""

    def __init__(self, channels, growth=8, count=3):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels + i * growth), nn.ReLU(), nn.Conv2d(channels + i * growth, 16, 1, bias=False),
                nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, growth, 3, padding=1, bias=False),
            )
            for i in range(count)
        )  # fmt: skip

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return x


class Fusion(nn.Module):
    """Two resolutions that exchange what they found (HRNet)."""

    def __init__(self, channels):
        super().__init__()
        self.down, self.high, self.low = conv(channels, 24, 3, 2), conv(channels, channels), conv(24, 24)
        self.up, self.again = conv(24, channels, 1, act=None), conv(channels, 24, 3, 2, act=None)

    def forward(self, x):
        high, low = self.high(x), self.low(self.down(x))
        fused = F.relu(high + F.interpolate(self.up(low), size=high.shape[-2:], mode="nearest"))
        return F.relu(low + self.again(fused))


class SplitHierarchy(nn.Module):
    """Groups of channels, each convolved together with the result of the one before (Res2Net)."""

    def __init__(self, channels, parts=4):
        super().__init__()
        self.width = channels // parts
        self.steps = nn.ModuleList(conv(self.width, self.width) for _ in range(parts - 1))
        self.mix = conv(channels, channels, 1, act=None)

    def forward(self, x):
        first, *rest = torch.split(x, self.width, 1)
        found, last = [first], None
        for part, step in zip(rest, self.steps):
            last = step(part if last is None else part + last)
            found.append(last)
        return F.relu(self.mix(torch.cat(found, 1)) + x)


class SelectiveKernel(nn.Module):
    """Two receptive fields, weighed by a softmax over the branches (SKNet)."""

    def __init__(self, channels):
        super().__init__()
        self.small, self.large = conv(channels, channels), conv(channels, channels, 5)
        self.squeeze, self.choose = conv(channels, 8, 1), nn.Conv2d(8, 2 * channels, 1)

    def forward(self, x):
        maps = torch.stack([self.small(x), self.large(x)], dim=1)
        weights = self.choose(self.squeeze(maps.sum(1).mean((2, 3), keepdim=True)))
        weights = weights.view(x.shape[0], 2, -1, 1, 1).softmax(dim=1)
        return (maps * weights).sum(dim=1)


class Octave(nn.Module):
    """Full and half resolution side by side, each made from both (OctConv)."""

    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.hh, self.hl = conv(half, half, act=None), conv(half, half, act=None)
        self.lh, self.ll = conv(half, half, act=None), conv(half, half, act=None)
        self.split, self.mix = conv(channels, half, 1), conv(channels, channels, 1)

    def forward(self, x):
        high, low = self.split(x), F.avg_pool2d(self.split(x), 2)
        new_high = self.hh(high) + F.interpolate(self.lh(low), scale_factor=2)
        new_low = self.ll(low) + self.hl(F.avg_pool2d(high, 2))
        both = torch.cat([F.relu(new_high), F.interpolate(F.relu(new_low), scale_factor=2)], 1)
        return self.mix(both)


class Attention(nn.Module):
    """Convolutions around self-attention over the pixels (MobileViT)."""

    def __init__(self, channels, width=24):
        super().__init__()
        self.local, self.before = conv(channels, channels), nn.Conv2d(channels, width, 1)
        self.norm, self.qkv, self.out = nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.after, self.fuse = conv(width, channels, 1), conv(2 * channels, channels)

    def forward(self, x):
        y = self.before(self.local(x))
        n, c, h, w = y.shape
        rows = self.norm(y.flatten(2).transpose(1, 2))
        q, k, v = self.qkv(rows).reshape(n, h * w, 3, 2, c // 2).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, h * w, c)
        y = (rows + self.out(mixed)).transpose(1, 2).reshape(n, c, h, w)
        return self.fuse(torch.cat([x, self.after(y)], 1))


class Standardised(nn.Conv2d):
    """A convolution whose weights are standardised in every call (NFNet, BiT)."""

    def forward(self, x):
        weight = self.weight.reshape(1, len(self.weight), -1)
        weight = F.batch_norm(weight, None, None, training=True, eps=1e-6).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class PooledShortcut(nn.Module):
    """A shortcut from every second pixel, and from those beside them, by poolings of one pixel (Shake-Shake)."""

    def __init__(self, channels, c_out):
        super().__init__()
        self.main, self.pool = conv(channels, c_out, 3, 2, act=None), nn.AvgPool2d(1, 2)
        self.even, self.odd = conv(channels, c_out // 2, 1, act=None), conv(channels, c_out // 2, 1, act=None)
        self.pad = nn.ZeroPad2d((1, 0, 1, 0))

    def forward(self, x):
        beside = self.odd(self.pool(self.pad(x[:, :, :-1, :-1])))
        return F.relu(self.main(x) + torch.cat([self.even(self.pool(x)), beside], 1))


class Windows(nn.Module):
    """A linear layer on the windows of a map, which stand in the axis of the batch (MobileViT, Swin)."""

    def __init__(self, channels):
        super().__init__()
        self.local, self.mix = conv(channels, channels), nn.Linear(channels, channels)

    def forward(self, x):
        y = self.local(x)
        n, c, h, w = y.shape
        rows = y.reshape(n, c, h // 4, 4, w // 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(-1, 16, c)
        rows = rows + self.mix(rows)
        back = rows.reshape(n, h // 4, w // 4, 4, 4, c).permute(0, 5, 1, 3, 2, 4)
        return x + back.reshape(n, c, h, w)


class Segmenter(nn.Module):
    """A class for every pixel, and an auxiliary answer on the way, as a tuple (PSPNet, FCN)."""

    def __init__(self, classes=6):
        super().__init__()
        self.low, self.high = nn.Sequential(conv(3, 16, 3, 2), conv(16, 24, 3, 2)), conv(24, 32, 3, 2)
        self.pools = nn.ModuleList(conv(32, 8, 1) for _ in range(2))
        self.final = nn.Sequential(conv(48, 24), nn.Dropout(0.1), nn.Conv2d(24, classes, 1))
        self.aux = nn.Sequential(conv(24, 12), nn.Conv2d(12, classes, 1))

    def forward(self, x):
        size = x.shape[2:]
        low = self.low(x)
        high = self.high(low)
        parts = [high]
        for pool, bins in zip(self.pools, (1, 2)):
            pooled = pool(F.adaptive_avg_pool2d(high, bins))
            parts.append(F.interpolate(pooled, high.shape[2:], mode="bilinear", align_corners=True))
        answers = (self.final(torch.cat(parts, 1)), self.aux(low))
        return tuple(F.interpolate(answer, size, mode="bilinear", align_corners=False) for answer in answers)


def make(body, channels, act=nn.ReLU):
    """A function that builds a classifier around a body."""
    return lambda: Classifier(body(), channels, act)


# Name -> how to build it, and how many convolutions decide, how many follow.
STRUCTURES = {
    "ghost": (make(lambda: nn.Sequential(Ghost(16, 24), Ghost(24, 32)), 32), 3, 2),
    "shuffle": (make(lambda: nn.Sequential(Shuffle(16), Shuffle(16)), 16), 5, 2),
    "squeeze and excite": (make(lambda: SqueezeExcite(16, 40), 16, nn.Hardswish), 3, 1),
    "re-parameterised": (make(lambda: nn.Sequential(Reparameterised(16), Reparameterised(16)), 16), 5, 0),
    "pre-activation": (make(lambda: nn.Sequential(PreActivation(16), PreActivation(16)), 16), 5, 0),
    "dense pre-activation": (make(lambda: DensePreActivation(16), 40), 7, 0),
    "two resolutions": (make(lambda: Fusion(16), 24), 6, 0),
    "split hierarchy": (make(lambda: SplitHierarchy(16), 16), 5, 0),
    "selective kernel": (make(lambda: SelectiveKernel(16), 16), 4, 0),
    "octave": (make(lambda: Octave(16), 16), 6, 0),
    "attention": (make(lambda: Attention(16), 16), 4, 0),  # not the one in front of the layer norm
    "standardised weights": (make(lambda: nn.Sequential(conv(16, 16), Standardised(16, 24, 3, padding=1)), 24), 2, 0),
    "pooled shortcut": (make(lambda: PooledShortcut(16, 24), 24), 4, 0),
    "windows": (make(lambda: Windows(16), 16), 2, 0),
    "segmenter": (Segmenter, 7, 0),
}
