"""ResNet-18 in its CIFAR form: 3x3 stem, four stages, projection shortcuts (1x1 convolution, type B)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from sanp.models.widths import scaled


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut; the ReLU comes after the addition."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.act2 = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, H, W] -> [N, c_out, H / stride, W / stride]."""
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return self.act2(y + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, stages of blocks, global average pool, linear head."""

    def __init__(self, num_classes: int, in_channels: int, stem: int, large: bool = False) -> None:
        """stem: its channels. large: 7x7 of stride 2 and a max pool, the ImageNet form; otherwise 3x3."""
        super().__init__()
        kernel, stride = (7, 2) if large else (3, 1)
        self.conv1 = nn.Conv2d(in_channels, stem, kernel, stride=stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.act1 = nn.ReLU(inplace=True)
        if large:
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self._large, self._num_classes, self._stages = large, num_classes, 0

    def build(
        self, channels: int, stages: Iterable[tuple[int, int]], block: Callable[[int, int, int], nn.Module]
    ) -> None:
        """Add the stages and the head behind a stem of `channels`, then set the initial weights.

        stages: output channels and number of blocks of each. block(c_in, c_out, stride) makes one.
        """
        for c_out, count in stages:
            rows = []
            for index in range(count):
                rows.append(block(channels, c_out, 2 if self._stages and not index else 1))
                channels = c_out
            self._stages += 1
            self.add_module(f"layer{self._stages}", nn.Sequential(*rows))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, self._num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, num_classes]."""
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.maxpool(x) if self._large else x
        for stage in range(self._stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.head(self.pool(x).flatten(1))


def resnet18(num_classes: int = 10, width: float = 1.0, in_channels: int = 3) -> ResNet:
    """ResNet-18, 555,417,600 convolution MACs at width 1 and 32x32 (the 501M of the paper cannot be reproduced)."""
    network = ResNet(num_classes, in_channels, scaled(64, width))
    network.build(scaled(64, width), [(scaled(64 * 2**stage, width), 2) for stage in range(4)], BasicBlock)
    return network
