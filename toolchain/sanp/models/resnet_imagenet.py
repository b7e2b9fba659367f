"""ResNet-18, 34 and 50 in their ImageNet form: 7x7 stem of stride 2, max pool, four stages, projection shortcuts."""

from __future__ import annotations

from torch import Tensor, nn

from sanp.models.resnet import BasicBlock, ResNet
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


class ImageNetResNet(ResNet):
    """Stem, four stages of blocks, global average pool, linear head; bottleneck: the blocks of ResNet-50."""

    def __init__(
        self,
        blocks: tuple[int, int, int, int],
        bottleneck: bool,
        num_classes: int = 1000,
        width: float = 1.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__(num_classes, in_channels, scaled(64, width), large=True)
        wider = Bottleneck.expansion if bottleneck else 1

        def block(c_in: int, c_out: int, stride: int) -> nn.Module:
            return Bottleneck(c_in, c_out // wider, c_out, stride) if bottleneck else BasicBlock(c_in, c_out, stride)

        stages = [(scaled(64 * 2**stage, width) * wider, count) for stage, count in enumerate(blocks)]
        self.build(scaled(64, width), stages, block)
