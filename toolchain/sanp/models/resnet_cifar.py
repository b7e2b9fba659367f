"""ResNets for small images (He et al., CVPR 2016, section 4.2): three stages of 16, 32 and 64 channels, 6n+2 layers."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from sanp.models.resnet import BasicBlock
from sanp.models.widths import scaled

Shortcut = Literal["A", "B"]


class PaddedShortcut(nn.Module):
    """Type A: every second pixel, and channels of zeros before and behind; no weights."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.stride, self.before = stride, (c_out - c_in) // 2
        self.after = c_out - c_in - self.before

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, H, W] -> [N, c_out, H / stride, W / stride]."""
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.before, self.after))


class CifarResNet(nn.Module):
    """3x3 stem, three stages of `blocks` basic blocks, global average pool, linear head."""

    def __init__(
        self, blocks: int, shortcut: Shortcut, num_classes: int = 10, width: float = 1.0, in_channels: int = 3
    ) -> None:
        super().__init__()
        channels = scaled(16, width)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.act1 = nn.ReLU(inplace=True)
        for stage in range(3):
            c_out, rows = scaled(16 * 2**stage, width), []
            for index in range(blocks):
                block = BasicBlock(channels, c_out, stride=2 if stage and not index else 1)
                if shortcut == "A" and not isinstance(block.shortcut, nn.Identity):
                    block.shortcut = PaddedShortcut(channels, c_out, 2)
                rows.append(block)
                channels = c_out
            self.add_module(f"layer{stage + 1}", nn.Sequential(*rows))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, num_classes]."""
        x = self.act1(self.bn1(self.conv1(x)))
        for stage in range(3):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return self.head(self.pool(x).flatten(1))
