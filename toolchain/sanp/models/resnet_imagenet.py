"""ResNet-18, 34 and 50 in their ImageNet form: 7x7 stem of stride 2, max pool, four stages, projection shortcuts."""

from __future__ import annotations

from torch import Tensor, nn

from sanp.models.resnet import BasicBlock
from sanp.models.widths import scaled


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut; the 3x3 has the stride (the form known as v1.5, 4.09G MACs instead of 3.86G)."""

    expansion = 4

    def __init__(self, c_in: int, inner: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(inner, c_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(c_out)
        self.act3 = nn.ReLU(inplace=True)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride=stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, H, W] -> [N, c_out, H / stride, W / stride]."""
        y = self.act1(self.bn1(self.conv1(x)))
        y = self.act2(self.bn2(self.conv2(y)))
        return self.act3(self.bn3(self.conv3(y)) + self.shortcut(x))


class ImageNetResNet(nn.Module):
    """Stem, four stages of blocks, global average pool, linear head; bottleneck: the blocks of ResNet-50."""

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        bottleneck: bool,
        num_classes: int = 1000,
        width: float = 1.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        channels = scaled(64, width)
        self.conv1 = nn.Conv2d(in_channels, channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        for stage, count in enumerate(blocks):
            inner, rows = scaled(64 * 2**stage, width), []
            c_out = inner * Bottleneck.expansion if bottleneck else inner
            for index in range(count):
                stride = 2 if stage and not index else 1
                one = Bottleneck(channels, inner, c_out, stride) if bottleneck else BasicBlock(channels, c_out, stride)
                rows.append(one)
                channels = c_out
            self.add_module(f"layer{stage + 1}", nn.Sequential(*rows))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, num_classes]."""
        x = self.maxpool(self.act1(self.bn1(self.conv1(x))))
        for stage in range(4):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.head(self.pool(x).flatten(1))
