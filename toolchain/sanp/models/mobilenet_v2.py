"""MobileNetV2 (Sandler et al., CVPR 2018): inverted residual blocks with depthwise convolutions, ImageNet form."""

from __future__ import annotations

from torch import Tensor, nn

from sanp.models.widths import scaled

# (expansion, output channels, blocks, stride of the first)
_PLAN = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def _layer(c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    conv = nn.Conv2d(c_in, c_out, kernel, stride=stride, padding=kernel // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(c_out)]


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection without activation; a shortcut where the shapes are equal."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner, layers = c_in * expansion, []
        if expansion > 1:
            layers += [*_layer(c_in, inner, 1), nn.ReLU6(inplace=True)]
        layers += [*_layer(inner, inner, 3, stride, groups=inner), nn.ReLU6(inplace=True), *_layer(inner, c_out, 1)]
        self.conv = nn.Sequential(*layers)
        self.added = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, H, W] -> [N, c_out, H / stride, W / stride]."""
        return x + self.conv(x) if self.added else self.conv(x)


class MobileNetV2(nn.Module):
    """Stem of stride 2, 17 blocks, a 1x1 convolution to 1280 channels, global average pool, dropout, linear head.

    Widths are rounded by the rule of this package, not to multiples of 8 as in the published smaller networks.
    """

    def __init__(self, num_classes: int = 1000, width: float = 1.0, in_channels: int = 3, dropout: float = 0.2) -> None:
        super().__init__()
        channels = scaled(32, width)
        layers = [*_layer(in_channels, channels, 3, 2), nn.ReLU6(inplace=True)]
        for expansion, wide, count, stride in _PLAN:
            c_out = scaled(wide, width)
            for index in range(count):
                layers.append(InvertedResidual(channels, c_out, stride if not index else 1, expansion))
                channels = c_out
        last = scaled(1280, max(1.0, width))
        self.features = nn.Sequential(*layers, *_layer(channels, last, 1), nn.ReLU6(inplace=True))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(last, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, num_classes]."""
        return self.head(self.drop(self.pool(self.features(x)).flatten(1)))
