"""MobileNetV2 with 5 of its 17 blocks, every kind of them: torch's exporter needs nine seconds for all."""

from __future__ import annotations

from unittest import mock

from torch import nn

from sanp import models
from sanp.models import mobilenet_v2


def build(name: str, classes: int = 10, width: float = 1.0) -> nn.Module:
    """`models.build`, but MobileNetV2 with its first block, and twice two with and without a stride and a shortcut."""
    rows = tuple((expansion, wide, min(count, 2), stride) for expansion, wide, count, stride in mobilenet_v2._PLAN[:3])
    with mock.patch.object(mobilenet_v2, "_PLAN", rows):
        return models.build(name, classes, width)
