"""Strides, dilations and pads of a convolution as plain numbers."""

from __future__ import annotations

from torch import nn


def pair(value: tuple[int, ...]) -> tuple[int, int]:
    """Two numbers, vertical first."""
    return value[0], value[1]


def pads_of(conv: nn.Conv2d) -> tuple[int, int, int, int]:
    """Pads (top, left, bottom, right)."""
    # PyTorch resolves "same" and "valid" into this list, (left, right, top, bottom), with the odd pixel at the end.
    left, right, top, bottom = conv._reversed_padding_repeated_twice
    return top, left, bottom, right
