"""EfficientNet-Lite0 (Tan and Le, ICML 2019; without squeeze and excite) with the names of its public weights."""

from __future__ import annotations

from torch import nn

# Expansion, kernel, output channels, repetitions and first stride of each row.
ROWS = (
    (1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2), (6, 5, 112, 3, 1), (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
)  # fmt: skip


def _norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3)


def _padded(c_in, c_out, kernel, stride, groups=1):
    """A convolution with TensorFlow's padding for even maps: with stride 2 the odd zero is at the bottom and right."""
    if stride == 1:
        return nn.Identity(), nn.Conv2d(c_in, c_out, kernel, 1, kernel // 2, groups=groups, bias=False)
    before = (kernel - 2) // 2
    after = kernel - 2 - before
    return nn.ZeroPad2d((before, after, before, after)), nn.Conv2d(c_in, c_out, kernel, 2, groups=groups, bias=False)


class Block(nn.Module):
    """Expansion, depthwise, projection; a shortcut where shapes are equal."""

    def __init__(self, c_in, c_out, kernel, stride, expansion):
        super().__init__()
        inner = c_in * expansion
        self.expands, self.added = expansion > 1, stride == 1 and c_in == c_out
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(c_in, inner, 1, bias=False), _norm(inner)
        self._pad, self._depthwise_conv = _padded(inner, inner, kernel, stride, inner)
        self._bn1 = _norm(inner)
        self._project_conv, self._bn2 = nn.Conv2d(inner, c_out, 1, bias=False), _norm(c_out)
        self._relu = nn.ReLU6()

    def forward(self, x):
        y = self._relu(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._relu(self._bn1(self._depthwise_conv(self._pad(y))))
        y = self._bn2(self._project_conv(y))
        return x + y if self.added else y


class EfficientNetLite0(nn.Module):
    """1000 classes of ImageNet; images are normalised by (pixel - 127) / 128."""

    def __init__(self):
        super().__init__()
        self._pad, self._conv_stem = _padded(3, 32, 3, 2)
        self._bn0, self._relu = _norm(32), nn.ReLU6()
        blocks, channels = [], 32
        for expansion, kernel, c_out, count, stride in ROWS:
            for index in range(count):
                blocks.append(Block(channels, c_out, kernel, 1 if index else stride, expansion))
                channels = c_out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(channels, 1280, 1, bias=False), _norm(1280)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, x):
        x = self._relu(self._bn0(self._conv_stem(self._pad(x))))
        for block in self._blocks:
            x = block(x)
        return self._fc(self._relu(self._bn1(self._conv_head(x))).mean((2, 3)))
