"""ResNets for small images (He et al., CVPR 2016, section 4.2): three stages of 16, 32 and 64 channels, 6n+2 layers."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from sanp.models.resnet import BasicBlock, ResNet
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


class CifarResNet(ResNet):
    """3x3 stem, three stages of `blocks` basic blocks, global average pool, linear head."""

    def __init__(
        self, blocks: int, shortcut: Shortcut, num_classes: int = 10, width: float = 1.0, in_channels: int = 3
    ) -> None:
        super().__init__(num_classes, in_channels, scaled(16, width))

        def block(c_in: int, c_out: int, stride: int) -> nn.Module:
            made = BasicBlock(c_in, c_out, stride)
            if shortcut == "A" and not isinstance(made.shortcut, nn.Identity):
                made.shortcut = PaddedShortcut(c_in, c_out, 2)
            return made

        self.build(scaled(16, width), [(scaled(16 * 2**stage, width), blocks) for stage in range(3)], block)
