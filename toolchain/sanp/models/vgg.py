"""VGG with batch norm: VGG-19 with one linear head (Network Slimming), VGG-16 with a hidden layer (L1, LAASP)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from torch import Tensor, nn

from sanp.models.widths import scaled

Plan = Sequence[Union[int, str]]  # output channels of each 3x3 convolution, "M" for a 2x2 max pool
VGG16_PLAN: Plan = (64, 64, "M", 128, 128, "M", *[256] * 3, "M", *[512] * 3, "M", *[512] * 3)
VGG19_PLAN: Plan = (64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4)


class Vgg(nn.Module):
    """3x3 convolutions after `plan`, global average pool (2x2 at image size 32), then a linear layer.

    hidden: width of a linear layer with batch norm and ReLU before the last one; 0 = none.
    """

    def __init__(self, plan: Plan, num_classes: int = 10, in_channels: int = 3, hidden: int = 0) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for item in plan:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(channels, item, 3, padding=1, bias=False), nn.BatchNorm2d(item), nn.ReLU(inplace=True)]
            channels = item
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier: nn.Module = nn.Identity()
        if hidden:
            self.classifier = nn.Sequential(nn.Linear(channels, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True))
        self.head = nn.Linear(hidden or channels, num_classes)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.constant_(module.weight, 0.5)  # as published; the slimming penalty starts from there
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Images [N, in_channels, H, W] -> logits [N, num_classes]."""
        return self.head(self.classifier(self.pool(self.features(x)).flatten(1)))


def vgg19(num_classes: int = 10, width: float = 1.0, in_channels: int = 3) -> Vgg:
    """VGG-19-BN: 398,439,434 MACs at width 1 with one addition per output counted, 20.04M parameters."""
    plan = [item if isinstance(item, str) else scaled(item, width) for item in VGG19_PLAN]
    return Vgg(plan, num_classes, in_channels)


def vgg16(num_classes: int = 10, width: float = 1.0, in_channels: int = 3) -> Vgg:
    """VGG-16-BN with a hidden layer of 512 units: 313,463,808 MACs at width 1 and 10 classes, 313,196,544 of them in
    the convolutions."""
    plan = [item if isinstance(item, str) else scaled(item, width) for item in VGG16_PLAN]
    return Vgg(plan, num_classes, in_channels, hidden=scaled(512, width))
