"""M-CifarNet: the eight-convolution CIFAR network of FBS (Gao et al., ICLR 2019), 174,299,904 MACs at width 1."""

from __future__ import annotations

from torch import Tensor, nn

from sanp.models.widths import scaled

# (output channels, stride, padding, dropout after the layer)
_PLAN = (
    (64, 1, 0, False),
    (64, 1, 1, False),
    (128, 2, 1, False),
    (128, 1, 1, True),
    (128, 1, 1, False),
    (192, 2, 1, False),
    (192, 1, 1, True),
    (192, 1, 1, False),
)


class ConvBlock(nn.Module):
    """3x3 convolution, batch norm, ReLU, optional dropout."""

    def __init__(self, c_in: int, c_out: int, stride: int, padding: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, stride=stride, padding=padding, bias=False)
        # Momentum 0.1 instead of the original decay 0.9997: short runs would evaluate with statistics from the start.
        self.norm = nn.BatchNorm2d(c_out, eps=1e-3)
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """[N, c_in, H, W] -> [N, c_out, H', W']."""
        return self.drop(self.act(self.norm(self.conv(x))))


class MCifarNet(nn.Module):
    """Eight 3x3 convolutions (the first without padding), global average pool, 1x1 convolution as classifier."""

    def __init__(self, num_classes: int = 10, width: float = 1.0, in_channels: int = 3, dropout: float = 0.5) -> None:
        super().__init__()
        channels = in_channels
        for index, (c_out, stride, padding, drops) in enumerate(_PLAN):
            wide = scaled(c_out, width)
            self.add_module(f"conv{index}", ConvBlock(channels, wide, stride, padding, dropout if drops else 0.0))
            channels = wide
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Conv2d(channels, num_classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, num_classes]."""
        for index in range(len(_PLAN)):
            x = self.get_submodule(f"conv{index}")(x)
        return self.head(self.pool(x)).flatten(1)
